"""Table of the sensitivity to the searched values."""

from rich.console import Group, RenderableType
from rich.text import Text

from kdtune.analysis.paired_tests import ALPHA
from kdtune.analysis.sensitivity import Sensitivity
from kdtune.report.number_formats import describe_point, significant, with_unit
from kdtune.report.split_table import SplitTable
from kdtune.report.statistics_table import points
from kdtune.report.units import energy_unit
from kdtune.storage.wording import counted

#: Numbers of random points of which the expectation is shown.
SHOWN = (1, 2, 3, 5, 10, 20, 50)


def sensitivity_table(found: Sensitivity) -> RenderableType:
    """Return a row for each point, and what follows from them."""
    unit = energy_unit(one.training_kwh for one in found.points)
    names = ["tau", f"val. {found.metric_info.heading}", "chosen in", f"energy ({unit.name})"]
    table = SplitTable(f"{found.study}: sensitivity to the searched values", names, ("tau",))
    for one in found.points:
        cells = [points(one.validation, found.metric_info), str(one.chosen), unit.number(one.training_kwh)]
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
        unit = f", in {found.metric_info.difference_unit}," if found.metric_info.difference_unit else ""
        coarser = "; ".join(
            f"every {one.step}{_ordinal(one.step)}: {_loss(found, one.loss)} ({_loss(found, one.smallest_loss)} to "
            f"{_loss(found, one.largest_loss)})"
            for one in found.coarser
        )
        lines.append(f"Coarser grids lose{unit} in the other repeats (mean, and range of the repeats): {coarser}.")
    return lines


def _ordinal(number: int) -> str:
    return {2: "nd", 3: "rd"}.get(number, "th")


def _loss(found: Sensitivity, loss: float) -> str:
    metric = found.metric_info
    return f"{metric.scale * loss:+.{metric.decimals + 1}f}"


def _unneeded(found: Sensitivity) -> str:
    count = sum(not one.chosen for one in found.points)
    return (
        f"{count} of {len(found.points)} points were chosen in no repeat: a grid without them would have chosen the "
        f"same in every one of {counted(found.repeats, 'repeat')}."
    )


def _of_budgets(found: Sensitivity) -> str:
    shown = [one for one in found.budgets if one.trials in SHOWN or one is found.budgets[-1]]
    unit = energy_unit(point.training_kwh for point in found.points)
    texts, metric = [], found.metric_info
    for one in shown:
        gain = ""
        if one.gain_per_kwh is not None:
            per_unit = significant(metric.scale * one.gain_per_kwh / unit.per_base)
            gain = f", the last gained {per_unit} {metric.difference_unit}/{unit.name}"
        texts.append(f"{one.trials}: {with_unit(metric, one.elsewhere)}{gain}")
    return f"Best of so many random points, judged by the other repeats: {'; '.join(texts)}."
