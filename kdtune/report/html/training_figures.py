"""Figures of trainings: accuracy over tau, learning curves, tau's path, and the course of searches."""

import statistics
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

from kdtune.catalog.builtin import DEFAULT_TEMPERATURE
from kdtune.report.html.accuracy_figures import value_with_spread
from kdtune.report.html.drawing import (
    ReportFigure,
    Series,
    canvas,
    draw_band,
    draw_curve,
    finished,
    thinned,
    whole_numbers,
)
from kdtune.report.html.svg import COLOURS, INK
from kdtune.report.number_formats import of_metric, significant
from kdtune.report.reported_study import ReportedStrategy, ReportedStudy
from kdtune.results.epoch_log import Epoch
from kdtune.results.trial import Trial

#: Keys of a point that leave it a training with one tau and the study's other values.
_ONLY_TAU = {"tau", "temperature"}

#: Fewest temperatures that make a curve.
_FEWEST_TAUS = 3

#: Most strategies whose lines can be told apart in a figure.
_MOST_LINES = 8

#: Most curves that have a band; more bands could not be told apart.
_MOST_BANDS = 4


def accuracy_over_tau(study: ReportedStudy, series: Mapping[str, Series]) -> ReportFigure | str:
    """Draw the validation accuracy of all trainings with one fixed tau over that tau."""
    at: dict[float, dict[int, float]] = defaultdict(dict)
    for _, trial, value in _with_values(study):
        if _has_one_tau(trial):
            at[float(trial.point["tau"])][trial.repeat] = value
    if len(at) < _FEWEST_TAUS:
        return (
            f"Validation {study.metric.title} over tau (the paper's Figure 3a) is not shown, since fewer than "
            f"{_FEWEST_TAUS} temperatures were tried; run a search such as grid to see it."
        )
    searches = list(filter(_is_search, study.strategies))
    chosen = [(one, trial) for one in searches for trial in one.chosen_trials() if _has_one_tau(trial)]
    others = [one for one in study.strategies if one.result.repeats and not any(map(_has_one_tau, one.trials))]
    shown = most_telling(study, others)
    taus = sorted(at)
    with canvas() as (figure, axes):
        dots = [(tau, study.metric.scale * value) for tau in taus for value in at[tau].values()]
        axes.plot(*zip(*dots, strict=True), linestyle="", marker=".", color=COLOURS[7], markersize=4)
        means = [study.metric.scale * statistics.fmean(at[tau].values()) for tau in taus]
        axes.plot(taus, means, color=INK, linewidth=1.8)
        for one, trial in chosen:
            axes.plot(
                trial.point["tau"],
                study.metric.scale * (study.value(trial) or 0.0),
                marker="o",
                markersize=9,
                color=series[one.name].colour,
                markerfacecolor="none",
            )
        for one in shown:
            mean = one.result.mean_and_std(study.metric, "val")[0]
            if mean is not None:
                axes.axhline(
                    study.metric.scale * mean,
                    color=series[one.name].colour,
                    linestyle=series[one.name].dashes,
                    linewidth=1.2,
                )
        if all(tau.is_integer() for tau in taus):
            whole_numbers(axes)
        axes.set_xlabel("temperature tau")
        axes.set_ylabel(f"validation {study.metric.heading}")
        count = {tau: sum(trial.point["tau"] == tau for _, trial in chosen) for tau in taus}
        return finished(
            figure,
            "tau",
            f"Validation {study.metric.title} over tau",
            "Each dot is one training with a fixed tau, the line is the mean over repeats. Circles are the trainings "
            "that searches chose, in the colour of the search. Horizontal lines are the means of strategies whose "
            f"tau is not fixed{_selection(shown, others)}. Where the line is flat and the dots scatter, a search finds "
            "luck rather than a better tau. The paper's Figure 3a is of this kind.",
            ("tau", f"validation {study.metric.heading}", "repeats", "chosen by searches"),
            [
                [f"{tau:g}", value_with_spread(study.metric, [*at[tau].values()]), str(len(at[tau])), str(count[tau])]
                for tau in taus
            ],
            [series[name] for name in dict.fromkeys(one.name for one in (*(one for one, _ in chosen), *shown))],
        )


def most_telling(study: ReportedStudy, strategies: Sequence[ReportedStrategy]) -> list[ReportedStrategy]:
    """Return all strategies if a figure has room for their lines, otherwise the baseline and the best ones.

    The best ones are those with the best means on the validation images.
    """

    def score(one: ReportedStrategy) -> tuple[bool, float]:
        mean = one.result.mean_and_std(study.metric, "val")[0]
        return one.name == study.baseline, float("-inf") if mean is None else study.metric.score(mean)

    kept = sorted(strategies, key=score, reverse=True)[:_MOST_LINES]
    return [one for one in strategies if one in kept]


def _selection(shown: Sequence[object], every: Sequence[object]) -> str:
    """Return in words which strategies :func:`most_telling` chose; empty if all."""
    return "" if len(shown) == len(every) else f" (of {len(every)} strategies, the baseline and the best are drawn)"


def _with_values(study: ReportedStudy) -> Iterable[tuple[ReportedStrategy, Trial, float]]:
    for one in study.strategies:
        for trial in one.trials:
            value = study.value(trial)
            if trial.status == "completed" and value is not None:
                yield one, trial, value


def _has_one_tau(trial: Trial) -> bool:
    fixed = trial.point.get("temperature", DEFAULT_TEMPERATURE) == DEFAULT_TEMPERATURE
    return fixed and isinstance(trial.point.get("tau"), int | float) and trial.point.keys() <= _ONLY_TAU


def _is_search(one: ReportedStrategy) -> bool:
    return any(repeat.trials > 1 for repeat in one.result.repeats)


def learning_curves(study: ReportedStudy, series: Mapping[str, Series]) -> ReportFigure | str:
    """Draw the validation accuracy of the chosen models over their epochs."""
    curves = {one.name: _by_epoch(study, one) for one in study.strategies}
    curves = {name: curve for name, curve in curves.items() if len(curve) > 1}
    if not curves:
        return "Learning curves are not shown, since no chosen model has a record of several epochs."
    shown = [one.name for one in most_telling(study, [one for one in study.strategies if one.name in curves])]
    with canvas() as (figure, axes):
        for name in shown:
            curve, style = curves[name], series[name]
            epochs = thinned(sorted(curve), 200)
            if len(curves) <= _MOST_BANDS and any(len(values) > 1 for values in curve.values()):
                low, high = ([study.metric.scale * end(curve[epoch]) for epoch in epochs] for end in (min, max))
                draw_band(axes, style, epochs, low, high)
            draw_curve(axes, style, epochs, [study.metric.scale * statistics.median(curve[epoch]) for epoch in epochs])
        whole_numbers(axes)
        axes.set_xlabel("epoch")
        axes.set_ylabel(f"validation {study.metric.heading}")
        epochs = thinned(sorted({epoch for curve in curves.values() for epoch in curve}), 30)
        return finished(
            figure,
            "curves",
            "Learning curves of the chosen models",
            f"The median over repeats{_selection(shown, list(curves))}"
            + (", and a band from the lowest to the highest repeat" if len(curves) <= _MOST_BANDS else "")
            + ". The last epoch counts, not the best one.",
            ("epoch", *(f"{name} {study.metric.shown_unit}".rstrip() for name in curves)),
            [
                [str(epoch), *(of_metric(study.metric, _median(curve.get(epoch))) for curve in curves.values())]
                for epoch in epochs
            ],
            [series[name] for name in shown],
        )


def _by_epoch(study: ReportedStudy, one: ReportedStrategy) -> dict[int, list[float]]:
    """Return the values of the chosen models by epoch."""
    values: dict[int, list[float]] = defaultdict(list)
    for trial in one.chosen_trials():
        for epoch in one.epochs.get(trial.id, []):
            value = study.value(epoch)
            if value is not None:
                values[epoch.epoch].append(value)
    return dict(values)


def _median(values: Sequence[float] | None) -> float | None:
    return statistics.median(values) if values else None


def path_of_tau(study: ReportedStudy, series: Mapping[str, Series]) -> ReportFigure | str:
    """Draw the tau of the first chosen model of each strategy whose tau is not one number."""
    paths = {one.name: path for one in study.strategies if (path := _moving_tau(one))}
    if not paths:
        return "The path of tau is not shown, since tau did not change in any chosen training."
    with canvas() as (figure, axes):
        for name, path in paths.items():
            style, path = series[name], thinned(path, 200)
            spread = [one for one in path if one.tau_p05 is not None and one.tau_p95 is not None]
            if spread:
                low, high = ([one.tau_p05 or 0.0 for one in spread], [one.tau_p95 or 0.0 for one in spread])
                draw_band(axes, style, [one.epoch for one in spread], low, high)
            draw_curve(axes, style, [one.epoch for one in path], [one.tau or 0.0 for one in path])
        whole_numbers(axes)
        axes.set_xlabel("epoch")
        axes.set_ylabel("temperature tau")
        rows = [
            [name, str(one.epoch), significant(one.tau), significant(one.tau_p05), significant(one.tau_p95)]
            for name, path in paths.items()
            for one in thinned(path, 20)
        ]
        return finished(
            figure,
            "tau-path",
            "The path of tau",
            "The mean tau of each epoch in the chosen model of the first repeat. The band holds nine tenths of the "
            "values inside an epoch, where they differ: over images if each has its own tau, otherwise over steps.",
            ("strategy", "epoch", "mean tau", "5 % below", "95 % below"),
            rows,
            [series[name] for name in paths],
        )


def _moving_tau(one: ReportedStrategy) -> list[Epoch]:
    """Return the epochs of the first chosen model if its tau changes over or inside them; empty otherwise."""
    for trial in one.chosen_trials():
        path = [epoch for epoch in one.epochs.get(trial.id, []) if epoch.tau is not None]
        if len({epoch.tau for epoch in path}) > 1 or any(epoch.tau_p05 is not None for epoch in path):
            return path
    return []


def search_history(study: ReportedStudy, series: Mapping[str, Series]) -> ReportFigure | str:
    """Draw the best validation accuracy that each search had found after a number of trainings."""
    found = {one.name: histories for one in study.strategies if (histories := _histories(study, one))}
    if not found:
        return (
            "The course of searches is not shown, since no strategy finished several trainings in a repeat; run a "
            "search such as grid to see it."
        )
    with canvas() as (figure, axes):
        for name, histories in found.items():
            style, mean = series[name], _mean_history(histories)
            numbers = range(1, len(mean) + 1)
            axes.step(numbers, [study.metric.scale * value for value in mean], where="post", color=style.colour,
                      linestyle=style.dashes, linewidth=1.8)  # fmt: skip
            axes.plot(len(mean), study.metric.scale * mean[-1], marker=style.mark, color=style.colour, markersize=7)
        whole_numbers(axes)
        axes.set_xlabel("finished trainings of a repeat")
        axes.set_ylabel(f"best validation {study.metric.heading} so far")
        longest = max(len(_mean_history(one)) for one in found.values())
        return finished(
            figure,
            "search",
            "The course of searches",
            "The best validation value that a search had found after each training, and at the end that of the model "
            "that it chose; the mean over repeats. Restarts of one training improve in the same way by luck alone, so "
            "a search is worth as much as it is better than them.",
            ("trainings", *(f"{name} {study.metric.shown_unit}".rstrip() for name in found)),
            [
                [str(number), *(of_metric(study.metric, _place(_mean_history(one), number)) for one in found.values())]
                for number in thinned(range(1, longest + 1), 40)
            ],
            [series[name] for name in found],
        )


def _histories(study: ReportedStudy, one: ReportedStrategy) -> list[list[float]]:
    """Return the best value after each finished training, for each repeat; empty if no repeat has several.

    The last one is the value of the model that the strategy chose, which need not be the best.
    """
    score, histories = study.metric.score, []
    for number in range(len(one.result.repeats)):
        values = [study.value(trial) for trial in one.trials if trial.repeat == number and trial.status == "completed"]
        best: list[float] = []
        for value in (value for value in values if value is not None):
            best.append(max([value, *best[-1:]], key=score))
        chosen = next((study.value(trial) for trial in one.chosen_trials() if trial.repeat == number), None)
        if best and chosen is not None:
            best[-1] = chosen
        if best:
            histories.append(best)
    return histories if any(len(history) > 1 for history in histories) else []


def _mean_history(histories: Sequence[Sequence[float]]) -> list[float]:
    """Return the mean over repeats; a repeat with fewer trainings keeps its last value."""
    longest = max(map(len, histories))
    return [statistics.fmean(one[min(place, len(one) - 1)] for one in histories) for place in range(longest)]


def _place(values: Sequence[float], number: int) -> float | None:
    return values[number - 1] if number <= len(values) else None
