"""The paper's tables, its printed figures beside what was run here."""

from collections.abc import Sequence
from dataclasses import dataclass

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from kdtune.analysis.paper_results import Figure, FilledRow, PaperComparison
from kdtune.analysis.paper_values import PERCENT, PaperTable, paper_values
from kdtune.energy.carbon import PAPER
from kdtune.report.exports import markdown_list, markdown_row
from kdtune.report.fitting import PLAIN_HEAD
from kdtune.report.formats import NOTHING, significant
from kdtune.report.tables import Row, how_measured

SOURCE = "PLOS ONE 2023, e0285668"

#: Figures side by side, each of which takes three columns.
MOST_FIGURES = 4

_HEADS = {
    "accuracy": "acc. %",
    "map": "mAP %",
    "gflops_millions": "GFLOPs (M)",
    "kwh": "kWh",
    "co2_g": "g CO2",
    "paper_specificity": "specificity",
    "paper_prevalence": "prevalence",
}


@dataclass(frozen=True)
class _Block:
    name: str
    head: Row
    rows: list[Row]


@dataclass(frozen=True)
class _Table:
    title: str
    blocks: list[_Block]
    footnotes: list[str]


class _Signs:
    """Signs of a table's footnotes: numbers for what is to be told of the paper, letters for what of ours."""

    def __init__(self) -> None:
        self._texts: dict[str, str] = {}
        self._counts = {"paper": 0, "ours": 0}

    def of(self, texts: Sequence[str], whose: str) -> str:
        """The signs of some footnotes, in brackets; empty without any."""
        for text in texts:
            if text not in self._texts:
                number = self._counts[whose] = self._counts[whose] + 1
                self._texts[text] = str(number) if whose == "paper" else _letters(number)
        signs = sorted((self._texts[text] for text in texts), key=_order)
        return f" [{', '.join(signs)}]" if signs else ""

    def lines(self) -> list[str]:
        """The footnotes, the paper's first."""
        signed = sorted(self._texts.items(), key=lambda item: _order(item[1]))
        return [f"[{sign}] {text}" for text, sign in signed]


def _order(sign: str) -> tuple[bool, int, str]:
    """Numbers before letters, each as they were given."""
    return not sign.isdigit(), len(sign), sign


def _letters(number: int) -> str:
    """Letters as spreadsheets count: a to z, then aa, ab and so on."""
    before, last = divmod(number - 1, 26)
    return (_letters(before) if before else "") + chr(ord("a") + last)


def paper_tables(comparison: PaperComparison) -> RenderableType:
    """All tables, for a terminal, each with its footnotes, and what holds for all of them at the end."""
    parts: list[RenderableType] = []
    for table in _tables(comparison):
        parts.append(Text(table.title, style="bold"))
        for block in table.blocks:
            shown = Table(title=block.name, title_justify="left", box=PLAIN_HEAD, pad_edge=False)
            for index, name in enumerate(block.head):
                shown.add_column(name, justify="right" if index else "left", no_wrap=True)
            for row in block.rows:
                shown.add_row(*map(Text, row))
            parts.append(shown)
        parts += [Text(line, style="dim") for line in table.footnotes]
        parts.append(Text())
    return Group(*parts, *(Text(line, style="dim") for line in notes(comparison)))


def paper_markdown(comparison: PaperComparison) -> str:
    """The same as Markdown."""
    lines: list[str] = []
    for table in _tables(comparison):
        lines += [f"### {table.title}", ""]
        for block in table.blocks:
            rule = [":--"] + ["--:"] * (len(block.head) - 1)
            lines += [f"**{block.name}**", "", *map(markdown_row, [block.head, rule, *block.rows]), ""]
        lines += [markdown_list(table.footnotes), ""] if table.footnotes else []
    return "\n".join([*lines, markdown_list(notes(comparison))])


def notes(comparison: PaperComparison) -> list[str]:
    """What holds for all tables, and what to type for the rows that are empty."""
    lines = [
        f"Printed figures: {SOURCE}. Ours: mean +- sample standard deviation of n models, and as a multiple of the "
        "paper's. KD and Tuned are grid, Ours stochastic, Student none. A dash: not run, or not measured."
    ]
    used = [run.result["cost"] for run in comparison.used]
    if used:
        pues = sorted({cost["carbon"]["pue"] for cost in used})
        told = ", ".join(f"{pue:g}" for pue in pues)
        same = pues == [PAPER.pue]
        lines.append(
            "kWh and CO2 of ours are what one model is charged: every attempt, evaluation, start-up and idle power, "
            f"without its teacher, times a PUE of {told}. The paper's kWh hold PUE {PAPER.pue:g} and, it seems, "
            "training only" + ("." if same else "; --preset paper reports ours with its PUE and its g/kWh.")
        )
        lines.append(
            "GFLOPs of ours count the training images that were not held out, and a grid of 19 temperatures is 19 runs."
        )
        lines += dict.fromkeys(how_measured(cost) for cost in used)
    else:
        lines.append("None of the paper's studies has been run.")
    if missing := comparison.missing():
        lines.append(f"With empty rows: {', '.join(missing)}.")
        lines.append(f"To fill them: kdtune study {missing[0]} -s grid -s stochastic -s none, and so on.")
    return lines


def _tables(comparison: PaperComparison) -> list[_Table]:
    return [_table(table, comparison) for table in paper_values().tables]


def _table(table: PaperTable, comparison: PaperComparison) -> _Table:
    signs, blocks, standard = _Signs(), [], []
    for block in table.blocks:
        filled = comparison.rows[table.number, block.name]
        name = block.name + signs.of(block.footnotes, "paper")
        for start in range(0, len(block.columns), MOST_FIGURES):
            part = slice(start, start + MOST_FIGURES)
            names = [_HEADS.get(column, column) for column in block.columns[part]]
            head = ["", *(cell for column in names for cell in (column, "ours", "ratio"))]
            rows = [_row(row, row.figures[part], signs) for row in filled]
            blocks.append(_Block(name + (", continued" if start else ""), head, rows))
        if "paper_specificity" in block.columns:
            standard += [line for row in filled if (line := _standard(row))]
    return _Table(f"Table {table.number}: {table.title}", blocks, signs.lines() + standard)


def _row(filled: FilledRow, figures: Sequence[Figure], signs: _Signs) -> Row:
    cells = [filled.row.method + signs.of(filled.row.footnotes, "paper")]
    for figure in figures:
        ours = _ours(figure)
        if filled.run and figure is filled.figures[0]:
            ours += f" (n {filled.n})" + signs.of(filled.differs, "ours")
        multiple = NOTHING if figure.ratio is None else f"{significant(figure.ratio)} x"
        cells += [str(figure.paper) + ("" if figure.paper_std is None else f" +- {figure.paper_std}"), ours, multiple]
    return cells


def _ours(figure: Figure) -> str:
    if figure.ours is None or figure.column not in PERCENT:
        return significant(figure.ours)
    return f"{figure.ours:.2f}" + ("" if figure.ours_std is None else f" +- {figure.ours_std:.2f}")


def _standard(filled: FilledRow) -> str | None:
    """By the standard definitions, what the paper's Table 5 gives by others."""
    means = filled.standard_metrics()
    if not means:
        return None
    told = ", ".join(f"{name} {significant(value)}" for name, value in means.items())
    return f"{filled.row.method}, ours by the standard definitions: {told}."
