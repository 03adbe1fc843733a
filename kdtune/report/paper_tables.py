"""The paper's tables, its printed figures beside what was run here."""

from collections.abc import Sequence
from dataclasses import dataclass

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from kdtune.energy.carbon import PAPER
from kdtune.paper.filled_tables import Figure, FilledRow, PaperComparison
from kdtune.paper.printed_values import PERCENT, PaperTable, paper_values
from kdtune.paper.row_choice import to_finish
from kdtune.report.csv_and_markdown import markdown_list, markdown_row
from kdtune.report.number_formats import NOTHING, significant
from kdtune.report.split_table import PLAIN_HEAD
from kdtune.report.tables import Row, how_measured
from kdtune.results.cost_document import Cost

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

#: What a ratio is of, where that is not what stands before it.
_RATIOS = {"kwh": "training"}

#: Columns of the paper's that nothing of ours is a multiple of: its CO2 is no fixed multiple of its kWh.
_WITHOUT_RATIO = frozenset({"co2_g"})


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
    used = [run.result.cost for run in comparison.used]
    if used:
        lines.append(f"Ours are from {', '.join(dict.fromkeys(run.place for run in comparison.used))}.")
        lines += _of_energy(used)
        lines.append(
            "GFLOPs of ours count the training images that were not held out, and a grid of 19 temperatures is 19 runs."
        )
        lines += dict.fromkeys(how_measured(cost.quality, cost.hardware) for cost in used)
    elif not comparison.ran:
        lines.append("None of the paper's studies has been run.")
    if missing := comparison.missing():
        lines.append(f"With empty rows: {', '.join(missing)}.")
        begun = {run.study.name for run in comparison.unfinished}
        commands = [to_finish(run) for run in comparison.unfinished]
        commands += [f"kdtune study {name} -s grid -s stochastic -s none" for name in missing if name not in begun][:1]
        lines.append(f"To fill them: {'; '.join(commands)}, and so on.")
    return lines


def _of_energy(costs: Sequence[Cost]) -> list[str]:
    """What is in ours, what in the paper's, and what the ratio is of."""
    pues = sorted({cost.carbon.pue for cost in costs})
    attributions = {cost.attribution for cost in costs}
    idle = {
        frozenset({"dedicated"}): "start-up and idle power",
        frozenset({"shared"}): "start-up, but no idle power (attribution is shared)",
    }.get(frozenset(attributions), "start-up, and idle power of those whose attribution is dedicated")
    hint = "" if pues == [PAPER.pue] else "; --preset paper reports ours with its PUE and its g/kWh"
    low, high = _implied_g_per_kwh()
    return [
        f"kWh and CO2 of ours are what one model is charged: every attempt, evaluation, {idle}, without its teacher, "
        f"times a PUE of {', '.join(f'{pue:g}' for pue in pues)}{hint}.",
        f"The paper's kWh hold PUE {PAPER.pue:g} and, it seems, training only. So the multiple is of our training only "
        "(trials and evaluation), at its PUE.",
        f"The paper's CO2 is {low:.0f} to {high:.0f} g for each of its kWh, by the row, where one intensity would give "
        "one figure: so no multiple of it is given.",
    ]


def _implied_g_per_kwh() -> tuple[float, float]:
    """The least and the most CO2 for a kilowatt-hour in the paper's rows."""
    rows = (row.values for table in paper_values().tables for block in table.blocks for row in block.rows)
    found = [float(values["co2_g"] / values["kwh"]) for values in rows if "co2_g" in values]
    return min(found), max(found)


def _tables(comparison: PaperComparison) -> list[_Table]:
    return [_table(table, comparison) for table in paper_values().tables]


def _table(table: PaperTable, comparison: PaperComparison) -> _Table:
    signs, blocks, standard = _Signs(), [], []
    for block in table.blocks:
        filled = comparison.rows[table.number, block.name]
        name = block.name + signs.of(block.footnotes, "paper")
        for start in range(0, len(block.columns), MOST_FIGURES):
            part = slice(start, start + MOST_FIGURES)
            head = ["", *(cell for column in block.columns[part] for cell in _head(column))]
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
        cells += [str(figure.paper) + ("" if figure.paper_std is None else f" +- {figure.paper_std}"), ours]
        if figure.column not in _WITHOUT_RATIO:
            cells.append(NOTHING if figure.ratio is None else f"{significant(figure.ratio)} x")
    return cells


def _head(column: str) -> Row:
    return [_HEADS.get(column, column), "ours", *([] if column in _WITHOUT_RATIO else [_RATIOS.get(column, "ratio")])]


def _ours(figure: Figure) -> str:
    if figure.column in PERCENT and figure.ours is not None:
        return f"{figure.ours:.2f}" + ("" if figure.ours_std is None else f" +- {figure.ours_std:.2f}")
    return significant(figure.ours) + ("" if figure.ours_std is None else f" +- {significant(figure.ours_std, 2)}")


def _standard(filled: FilledRow) -> str | None:
    """By the standard definitions, what the paper's Table 5 gives by others."""
    means = filled.standard_metrics()
    if not means:
        return None
    told = ", ".join(f"{name} {significant(value)}" for name, value in means.items())
    return f"{filled.row.method}, ours by the standard definitions: {told}."
