"""The cost table in LaTeX, which compiles without further packages."""

import re
from pathlib import Path

from kdtune.report.cost_rows import columns, cost_rows, teacher_row
from kdtune.report.reported_study import ReportedStudy
from kdtune.storage.escaping import printable
from kdtune.storage.wording import counted

#: Characters with a meaning in LaTeX, and their replacements.
_SPECIAL = {
    **{character: f"\\{character}" for character in "&%$#_{}"},
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    "[": "{[}",  # at the start of a row, it would be an option of the line break before it, and so would the star
    "*": "{*}",
}

#: Number of columns that fit on a page in footnote size.
_MANY = 12

#: Last character that LaTeX prints without further packages.
_LAST_LATIN = "\u017e"


def write_latex(study: ReportedStudy, target: Path) -> list[Path]:
    """Write ``costs.tex``, a table environment that a document can input."""
    file = target / "costs.tex"
    file.write_text(latex_table(study), encoding="utf-8")
    return [file]


def latex_table(study: ReportedStudy) -> str:
    """Return the whole cost table as a table environment."""
    results, teacher = study.comparison.outcomes, study.comparison.teacher
    names = columns(results, teacher)
    lines = [for_latex_row(list(names)), r"\hline"]
    lines += [for_latex_row(row) for row in cost_rows(results, study.baseline, teacher)]
    if teacher:
        lines += [r"\hline", for_latex_row(teacher_row(teacher, results))]
    form = "".join("l" if name in ("strategy", "tau") else "r" for name in names)
    repeats = study.study.repeats
    caption = (
        f"{study.study.name}: cost of one model, mean and standard deviation over "
        f"{counted(repeats, 'repeat')}; energy as run and training only as multiples of {study.baseline}."
    )
    return "\n".join(
        [
            r"\begin{table}",
            r"\centering",
            rf"\caption{{{for_latex(caption)}}}",
            r"\tiny" if len(names) > _MANY else r"\footnotesize",
            r"\setlength{\tabcolsep}{3pt}",
            r"\makebox[\textwidth][c]{%",  # it is wider than a column of text, and so stands in the middle of the page
            rf"\begin{{tabular}}{{{form}}}",
            *lines,
            r"\end{tabular}}",
            r"\end{table}",
            "",
        ]
    )


def for_latex_row(cells: list[str]) -> str:
    """Return a row of a tabular environment."""
    return " & ".join(map(_cell, cells)) + r" \\"


def _cell(text: str) -> str:
    if text.endswith(" x"):
        return f"{for_latex(text[:-2])}$\\times$"
    return " $\\pm$ ".join(map(for_latex, text.split(" +- ")))


def for_latex(text: str) -> str:
    """Return a text in which no command begins; characters beyond Latin scripts become question marks."""
    known = (one if one <= _LAST_LATIN else "?" for one in " ".join(printable(text).split()))
    return re.sub("-(?=-)", "-{}", "".join(_SPECIAL.get(one, one) for one in known))
