"""Table of replayed searches: what they find and cost, for growing numbers of trainings."""

from collections.abc import Sequence

from rich.console import Group, RenderableType
from rich.text import Text

from kdtune.analysis.replay_forecast import BudgetPoint, ReplayForecast
from kdtune.catalog.metric import Metric
from kdtune.report.number_formats import NOTHING, of_metric
from kdtune.report.split_table import SplitTable
from kdtune.report.units import Unit, energy_unit
from kdtune.storage.wording import counted

#: ``{}`` are the metric and the unit of energy.
COLUMNS = (
    "strategy",
    "trainings",
    "energy ({energy})",
    "val. {metric}",
    "elsewhere {unit}",
    "regret",
    "finds the best",
)

#: Numbers of trainings that are shown, besides the largest one.
SHOWN = (1, 2, 3, 5, 7, 10, 15, 20, 30, 50, 100)


def replay_table(forecasts: Sequence[ReplayForecast]) -> RenderableType:
    """Return the table of all forecasts with its notes."""
    if not forecasts:
        return Text("No strategy of the study can be replayed.")
    metrics = {one.metric_info for one in forecasts}
    title, shown = "objective", ""
    if len(metrics) == 1:
        [metric] = metrics
        title, shown = metric.heading, metric.shown_unit
    studies = ", ".join(dict.fromkeys(one.study for one in forecasts))
    unit = energy_unit(point.training_kwh for one in forecasts for point in one.curve)
    names = [name.format(metric=title, unit=shown, energy=unit.name).rstrip() for name in COLUMNS]
    table = SplitTable(f"{studies}: replayed searches", names, ("strategy",), 4)
    for place, one in enumerate(forecasts):
        if place:
            table.add_section()
        for row in replay_rows(one, unit):
            table.add_row(row)
    return Group(table, *(Text(line, style="dim") for line in replay_notes(forecasts)))


def replay_rows(forecast: ReplayForecast, unit: Unit) -> list[list[str]]:
    """Return a row for each number of trainings that is shown, with energies in the given unit."""
    last = forecast.curve[-1]
    shown = [point for point in forecast.curve if point.trials in SHOWN or point is last]
    return [
        [forecast.strategy if place == 0 else "", *_cells(point, forecast.metric_info, unit)]
        for place, point in enumerate(shown)
    ]


def _cells(point: BudgetPoint, metric: Metric, unit: Unit) -> list[str]:
    return [
        str(point.trials),
        unit.number(point.training_kwh),
        of_metric(metric, point.validation),
        of_metric(metric, point.elsewhere),
        NOTHING if point.regret is None else of_metric(metric, point.regret),
        f"{point.found_best:.0%}",
    ]


def replay_notes(forecasts: Sequence[ReplayForecast]) -> list[str]:
    """Return notes on the table."""
    lines = [
        f"{one.strategy}: {one.replays:,} replays on "
        f"{counted(one.recorded_repeats, 'recorded repeat')}, {one.trials:.3g} trainings on average."
        + (
            f" It was really run in {one.searches_run}: the replay with the same seed chooses the same point in "
            f"{one.same_choice}."
            if one.searches_run
            else ""
        )
        for one in forecasts
    ]
    lines.append(
        "Nothing was trained, and only recorded points count. Energy: that recorded for trainings, without start-up."
    )
    lines.append(
        "Elsewhere: validation value at the chosen point in the other repeats, which the choice does not flatter. "
        "Regret: by how much the choice is worse than the best of the grid in its repeat."
    )
    return lines
