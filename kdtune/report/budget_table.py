"""Table of strategies at an equal budget."""

from rich.console import Group, RenderableType
from rich.text import Text

from kdtune.analysis.equal_budget import AtBudget, EqualBudget
from kdtune.catalog.metric import Metric
from kdtune.report.csv_and_markdown import markdown_list, markdown_row
from kdtune.report.number_formats import NOTHING
from kdtune.report.split_table import SplitTable
from kdtune.report.statistics_table import points
from kdtune.report.units import Unit, energy, energy_unit

_NOTE = (
    "Validation values of the best training that each repeat had finished when it was charged so much; after its last "
    "training, of the one that the strategy chose. The start counts before the first training; idle power and "
    "evaluation grow in proportion to the trainings. Trials count in the order of suggestion."
)


def budget_table(found: EqualBudget) -> RenderableType:
    """Return the table with its note."""
    names, *rows = _rows(found)
    table = SplitTable(f"At {energy(found.kwh)} for one model", names, ("strategy",))
    for row in rows:
        table.add_row(row)
    return Group(Text(), table, Text(_NOTE, style="dim"))


def budget_markdown(found: EqualBudget) -> str:
    """Return the table and its note as Markdown."""
    names, *rows = _rows(found)
    rule = [":--", *["--:"] * (len(names) - 1)]
    table = "\n".join(markdown_row(row) for row in [names, rule, *rows])
    return f"At {energy(found.kwh)} for one model:\n\n{table}\n\n{markdown_list([_NOTE])}"


def _rows(found: EqualBudget) -> list[list[str]]:
    unit = energy_unit(one.kwh_needed for one in found.strategies)
    names = ["strategy", f"val. {found.metric_info.heading}", "repeats", "trainings", f"first model at {unit.name}"]
    return [names, *(_cells(one, found.metric_info, unit) for one in found.strategies)]


def _cells(one: AtBudget, metric: Metric, unit: Unit) -> list[str]:
    trials = NOTHING if one.trials is None else f"{one.trials:.3g}"
    return [one.strategy, points(one.validation, metric), str(one.repeats), trials, unit.number(one.kwh_needed)]
