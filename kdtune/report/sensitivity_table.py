"""Table of the sensitivity to the searched values."""

from rich.console import Group, RenderableType
from rich.text import Text

from kdtune.analysis.paired_tests import ALPHA
from kdtune.analysis.sensitivity import Sensitivity
from kdtune.catalog.metric import Metric
from kdtune.report.number_formats import describe_point, percent, significant
from kdtune.report.split_table import SplitTable
from kdtune.report.statistics_table import points
from kdtune.report.units import energy_unit

#: Numbers of random points of which the expectation is shown.
SHOWN = (1, 2, 3, 5, 10, 20, 50)


def sensitivity_table(found: Sensitivity) -> RenderableType:
    """Return a row for each point, and what follows from them."""
    unit = energy_unit(one.training_kwh for one in found.points)
    names = ["tau", f"val. {Metric(found.metric).title} %", "chosen in", f"energy ({unit.name})"]
    table = SplitTable(f"{found.study}: sensitivity to the searched values", names, ("tau",))
    for one in found.points:
        cells = [points(one.validation), str(one.chosen), unit.number(one.training_kwh)]
        table.add_row([describe_point(one.point), *cells])
    return Group(table, *(Text(line, style="dim") for line in sensitivity_lines(found)))


def sensitivity_lines(found: Sensitivity) -> list[str]:
    """Return what follows from the values of the points."""
    if found.variance is None:
        return ["One repeat or one point shows nothing about sensitivity; run the grid with --repeats 3 or more."]
    variance = found.variance
    nothing = "" if variance.p <= ALPHA else ", so nothing to tune has been found"
    lines = [
        f"Of the variance, {variance.points:.0%} is due to the searched values, {variance.seeds:.0%} to the seeds and "
        f"{variance.rest:.0%} to the rest; p {variance.p:.2g} that all points are equally good{nothing}."
    ]
    if len(variance.dimensions) > 1:
        shares = ", ".join(f"{name} {share:.0%}" for name, share in variance.dimensions.items())
        lines.append(f"Main effects, as shares of the sum of squares: {shares}.")
    lines += [_unneeded(found), _of_budgets(found)]
    if found.coarser:
        coarser = "; ".join(
            f"every {one.step}{_ordinal(one.step)}: {100 * one.loss:+.2f} ({100 * one.smallest_loss:+.2f} to "
            f"{100 * one.largest_loss:+.2f})"
            for one in found.coarser
        )
        lines.append(f"Coarser grids lose, in points of other repeats (mean, and range of the repeats): {coarser}.")
    return lines


def _ordinal(number: int) -> str:
    return {2: "nd", 3: "rd"}.get(number, "th")


def _unneeded(found: Sensitivity) -> str:
    count = sum(not one.chosen for one in found.points)
    return (
        f"{count} of {len(found.points)} points were chosen in no repeat: a grid without them would have chosen the "
        f"same in all {found.repeats} repeats."
    )


def _of_budgets(found: Sensitivity) -> str:
    shown = [one for one in found.budgets if one.trials in SHOWN or one is found.budgets[-1]]
    unit = energy_unit(point.training_kwh for point in found.points)
    texts = []
    for one in shown:
        gain = ""
        if one.gain_per_kwh is not None:
            gain = f", the last gained {significant(100 * one.gain_per_kwh / unit.per_base)} points/{unit.name}"
        texts.append(f"{one.trials}: {percent(one.elsewhere)} %{gain}")
    return f"Best of so many random points, judged by the other repeats: {'; '.join(texts)}."
