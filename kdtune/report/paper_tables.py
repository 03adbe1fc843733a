"""The paper's tables, with its printed figures and results from here side by side."""

from collections.abc import Sequence
from dataclasses import dataclass

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from kdtune.energy.carbon import PAPER
from kdtune.paper.filled_tables import Figure, FilledRow, PaperComparison
from kdtune.paper.printed_values import PERCENT, PaperTable, paper_values
from kdtune.paper.row_choice import to_finish
from kdtune.report.cost_rows import Row
from kdtune.report.csv_and_markdown import markdown_list, markdown_row
from kdtune.report.number_formats import NOTHING, significant
from kdtune.report.split_table import PLAIN_HEAD
from kdtune.report.tables import how_measured
from kdtune.results.cost_document import Cost

SOURCE = "PLOS ONE 2023, e0285668"

#: Maximum number of figures side by side, each of which takes three columns.
MOST_FIGURES = 4

_HEADS = {
    "accuracy": "acc. %",
    "map": "mAP %",
    "parameters_millions": "parameters (M)",
    "gflops_millions": "GFLOPs (M)",
    "kwh": "kWh",
    "co2_g": "g CO2",
    "paper_specificity": "specificity",
    "paper_prevalence": "prevalence",
}

#: Headings of ratios that do not refer to the figure before them.
_RATIOS = {"kwh": "training"}

#: Columns without a ratio, since the paper's CO2 is not proportional to its kWh.
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
    """Marks of a table's footnotes: numbers for notes on the paper, letters for notes on results from here."""

    def __init__(self) -> None:
        self._texts: dict[str, str] = {}
        self._counts = {"paper": 0, "ours": 0}

    def of(self, texts: Sequence[str], whose: str) -> str:
        """Return the marks of the given footnotes in brackets; empty without footnotes."""
        for text in texts:
            if text not in self._texts:
                number = self._counts[whose] = self._counts[whose] + 1
                self._texts[text] = str(number) if whose == "paper" else _letters(number)
        signs = sorted((self._texts[text] for text in texts), key=_order)
        return f" [{', '.join(signs)}]" if signs else ""

    def lines(self) -> list[str]:
        """Return the footnotes, those on the paper first."""
        signed = sorted(self._texts.items(), key=lambda item: _order(item[1]))
        return [f"[{sign}] {text}" for text, sign in signed]


def _order(sign: str) -> tuple[bool, int, str]:
    """Return a sort key: numbers before letters, each in the order in which they were assigned."""
    return not sign.isdigit(), len(sign), sign


def _letters(number: int) -> str:
    """Return a number in letters as in spreadsheets: a to z, then aa, ab and so on."""
    before, last = divmod(number - 1, 26)
    return (_letters(before) if before else "") + chr(ord("a") + last)


def paper_tables(comparison: PaperComparison) -> RenderableType:
    """Return all tables for a terminal, each with its footnotes, and general notes at the end."""
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
    """Return all tables as Markdown."""
    lines: list[str] = []
    for table in _tables(comparison):
        lines += [f"### {table.title}", ""]
        for block in table.blocks:
            rule = [":--"] + ["--:"] * (len(block.head) - 1)
            lines += [f"**{block.name}**", "", *map(markdown_row, [block.head, rule, *block.rows]), ""]
        lines += [markdown_list(table.footnotes), ""] if table.footnotes else []
    return "\n".join([*lines, markdown_list(notes(comparison))])


def notes(comparison: PaperComparison) -> list[str]:
    """Return notes on all tables, and commands that fill empty rows."""
    lines = [
        f"Printed figures: {SOURCE}. Ours: mean +- sample standard deviation of n models, and the ratio to the "
        "paper's. KD and Tuned are grid, Ours is stochastic, Student is none, Quantization is qat. A dash: not run, or "
        "not measured."
    ]
    used = [run.result.cost for run in comparison.used]
    if used:
        lines.append(f"Ours are from {', '.join(dict.fromkeys(run.place for run in comparison.used))}.")
        lines += _of_energy(used)
        lines.append(
            "Our GFLOPs count the training images that were not held out, and a grid of 19 temperatures is 19 runs."
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
    """Return notes on what our energy and the paper's include, and on the ratio."""
    pues = sorted({cost.carbon.pue for cost in costs})
    attributions = {cost.attribution for cost in costs}
    idle = {
        frozenset({"dedicated"}): "start-up and idle power",
        frozenset({"shared"}): "start-up, but no idle power (shared attribution)",
    }.get(frozenset(attributions), "start-up, and idle power of those with dedicated attribution")
    hint = "" if pues == [PAPER.pue] else "; --preset paper uses the paper's PUE and g/kWh"
    low, high = _implied_g_per_kwh()
    return [
        f"Our kWh and CO2 are the charge of one model: every attempt, evaluation, {idle}, without its teacher, "
        f"times a PUE of {', '.join(f'{pue:g}' for pue in pues)}{hint}.",
        f"The paper's kWh include PUE {PAPER.pue:g} and, it seems, training only. The ratio therefore uses our "
        "training only (trials and evaluation), at the paper's PUE.",
        f"The paper's CO2 is {low:.0f} to {high:.0f} g per kWh, depending on the row, although one intensity would "
        "give one value. No ratio is therefore given for it.",
    ]


def _implied_g_per_kwh() -> tuple[float, float]:
    """Return the lowest and the highest CO2 per kilowatt-hour in the paper's rows."""
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
    """Return metrics by their standard definitions, which differ from those of the paper's Table 5."""
    means = filled.standard_metrics()
    if not means:
        return None
    values = ", ".join(f"{name} {significant(value)}" for name, value in means.items())
    return f"{filled.row.method}, ours by the standard definitions: {values}."
