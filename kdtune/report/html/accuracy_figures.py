"""Figures of the chosen models: accuracy against energy, and differences from the baseline."""

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from kdtune.catalog.metric import Metric
from kdtune.report.html.drawing import (
    ReportFigure,
    Series,
    canvas,
    finished,
    margin_for,
    names_on_y,
    plain_log_axis,
)
from kdtune.report.html.svg import BAND, INK
from kdtune.report.number_formats import NOTHING, of_metric
from kdtune.report.reported_study import ReportedStrategy, ReportedStudy
from kdtune.report.statistics_table import in_words, margin_in_words, points
from kdtune.report.units import Unit, energy_unit


@dataclass(frozen=True)
class _Place:
    """A strategy's place in the figure: energy of one model in kilowatt-hours, and the metric as a fraction."""

    strategy: ReportedStrategy
    kwh: float
    kwh_std: float | None
    value: float
    value_std: float | None


def accuracy_over_energy(study: ReportedStudy, series: Mapping[str, Series]) -> ReportFigure | str:
    """Draw the test accuracy of each strategy's models over the energy of one model."""
    places = [place for one in study.strategies if (place := _place(study, one))]
    if not places:
        return "Accuracy against energy is not shown, since no strategy has a tested model with measured energy."
    unit = energy_unit([place.kwh for place in places])
    best, scale = _undominated(places, study), study.metric.scale
    with canvas(height_in=3.9, bottom=0.14) as (figure, axes):
        for place in places:
            one = series[place.strategy.name]
            done = place.strategy.result.status == "completed"
            axes.errorbar(
                unit.of(place.kwh),
                scale * place.value,
                xerr=None if place.kwh_std is None else [[_low_end(place, unit)], [unit.of(place.kwh_std)]],
                yerr=None if place.value_std is None else scale * place.value_std,
                fmt=one.mark,
                color=one.colour,
                markerfacecolor=one.colour if done else "none",
                markersize=8,
                elinewidth=1.2,
                capsize=2.5,
            )
        plain_log_axis(axes, "x", [unit.of(place.kwh) for place in places])
        if len(best) > 1:
            axes.step(
                [unit.of(place.kwh) for place in best],
                [scale * place.value for place in best],
                where="post",
                color=INK,
                linewidth=1,
                linestyle=(0, (4, 3)),
                zorder=1,
            )
        axes.set_xlabel(f"energy of one model ({unit.name}), logarithmic")
        axes.set_ylabel(f"test {study.metric.heading}")
        return finished(
            figure,
            "accuracy-energy",
            f"Test {study.metric.title} against the energy of one model",
            "Each mark is a strategy: the mean over its repeats, with the standard deviation over repeats in both "
            f"directions where there are several. Further {'up' if study.metric.higher_is_better else 'down'} is "
            "better, further left needs less energy, which includes every trial of a search. The dashed staircase "
            "joins the strategies that no other one beats in both. Hollow marks are strategies that are not finished.",
            ("strategy", f"test {study.metric.heading}", f"energy of one model ({unit.name})", "on the staircase"),
            [_row(place, unit, study.metric, place in best and len(best) > 1) for place in places],
            [series[place.strategy.name] for place in places],
        )


def _place(study: ReportedStudy, one: ReportedStrategy) -> _Place | None:
    cost = one.result.cost
    value, value_std = one.result.mean_and_std(study.metric, "test")
    kwh = cost.of_one_model(cost.charged_kwh)
    if not kwh or value is None:
        return None
    by_seed = [cost.carbon.kwh(uj) for uj in one.figures.charged.by_seed.values()] if one.figures.charged else []
    return _Place(one, kwh, statistics.stdev(by_seed) if len(by_seed) > 1 else None, value, value_std)


def _low_end(place: _Place, unit: Unit) -> float:
    """Return the length of the error bar to the left, which cannot reach 0 on a logarithmic axis."""
    assert place.kwh_std is not None
    return unit.of(min(place.kwh_std, 0.9 * place.kwh))


def _undominated(places: Sequence[_Place], study: ReportedStudy) -> list[_Place]:
    """Return the finished strategies that no other one beats in both accuracy and energy, by energy."""
    found: list[_Place] = []
    for place in sorted(places, key=lambda place: (place.kwh, -study.metric.score(place.value))):
        better = not found or study.metric.score(place.value) > study.metric.score(found[-1].value)
        if place.strategy.result.status == "completed" and better:
            found.append(place)
    return found


def _row(place: _Place, unit: Unit, metric: Metric, on_staircase: bool) -> list[str]:
    energy = unit.number(place.kwh) + ("" if place.kwh_std is None else f" ± {unit.number(place.kwh_std, 2)}")
    value = of_metric(metric, place.value, place.value_std).replace("+-", "±")
    return [place.strategy.name, value, energy, "yes" if on_staircase else "no"]


def paired_differences(study: ReportedStudy, series: Mapping[str, Series]) -> ReportFigure | str:
    """Draw each strategy's difference from the baseline with its interval, and the margin as a band."""
    found = study.statistics
    shown = [(one, one.difference) for one in found.comparisons if one.difference]
    if not shown:
        return f"Paired differences are not shown, since no strategy has a tested seed in common with {study.baseline}."
    scale = study.metric.scale
    names = [one.strategy for one, _ in shown]
    differences = study.metric.difference_unit or study.metric.title
    with canvas(height_in=1.0 + 0.34 * len(shown), left=margin_for(names), bottom=0.6 / (1.0 + 0.34 * len(shown))) as (
        figure,
        axes,
    ):
        axes.axvspan(-scale * found.margin, scale * found.margin, color=BAND, linewidth=0)
        axes.axvline(0, color=INK, linewidth=0.8)
        for row, (one, difference) in enumerate(shown):
            style = series[one.strategy]
            if difference.is_bounded:
                axes.plot(
                    [scale * difference.low, scale * difference.high], [row, row], color=style.colour, linewidth=2
                )
            axes.plot(scale * difference.mean, row, marker=style.mark, color=style.colour, markersize=7)
        names_on_y(axes, names)
        axes.set_xlabel(f"test {study.metric.title}: difference from {study.baseline} ({differences})")
        return finished(
            figure,
            "differences",
            f"Differences from {study.baseline}, paired by seed",
            f"Each row compares a strategy with {study.baseline}: the mean difference over the seeds that both have, "
            f"and its 95 % interval where there are enough of them. The band is the margin of "
            f"{margin_in_words(found.margin, study.metric)}, which the study fixed: smaller differences do not matter. "
            "An interval that crosses the line at 0 leaves open which of the two is better. The verdicts also need the "
            "tests that the table of 'kdtune compare' explains.",
            ("strategy", f"difference ({differences})", "seeds", "verdict"),
            [
                [
                    one.strategy,
                    points(difference, study.metric, signed=True),
                    str(difference.n),
                    in_words(one, found.margin, study.metric),
                ]
                for one, difference in shown
            ],
        )


def value_with_spread(metric: Metric, values: Sequence[float]) -> str:
    """Format the mean of a metric with the sample standard deviation."""
    if not values:
        return NOTHING
    spread = statistics.stdev(values) if len(values) > 1 else None
    return of_metric(metric, statistics.fmean(values), spread).replace("+-", "±")
