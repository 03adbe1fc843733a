"""How much the searched values matter: is there anything to tune, and which points were needed to find it?"""

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from kdtune.analysis.comparison import WantedCarbon
from kdtune.analysis.find_results import Places
from kdtune.analysis.grid_recording import GridRecording, read_grids
from kdtune.analysis.verdicts import Interval, bounded_record, t_interval
from kdtune.catalog.metric import Metric
from kdtune.errors import ResultsError
from kdtune.execution.replay.recorded_trials import PointKey
from kdtune.specs.search_space import Point


@dataclass(frozen=True)
class PointSensitivity:
    """One point of the grid.

    Attributes:
        point: The point.
        validation: Mean validation value over repeats, with Student's t interval.
        chosen: Number of repeats in which the grid chooses it. A grid without all points that were never chosen would
            have chosen the same.
        training_kwh: Mean energy of its trainings, PUE included; None if it was not metered.
    """

    point: Point
    validation: Interval
    chosen: int
    training_kwh: float | None


@dataclass(frozen=True)
class VarianceShares:
    """Where the variance of the validation values comes from, by an analysis of variance without replication.

    Attributes:
        points: Share of the searched values.
        seeds: Share of the seeds, which raise or lower all points of a repeat.
        rest: Share of everything else: noise, and effects of the values that differ between seeds.
        dimensions: Main effect of each dimension as a share of the sum of squares.
        p: p value of the F test that all points are equally good.
    """

    points: float
    seeds: float
    rest: float
    dimensions: dict[str, float]
    p: float


@dataclass(frozen=True)
class RandomBudget:
    """The expected outcome of so many points of the grid, drawn at random.

    Attributes:
        trials: Number of points.
        elsewhere: Validation value at the chosen point in the other repeats.
        training_kwh: Energy of the trainings; None if it was not metered.
        gain_per_kwh: Gain of the last training per kWh of it, negative if it made the expectation worse; None for the
            first one and without energies.
    """

    trials: int
    elsewhere: float
    training_kwh: float | None
    gain_per_kwh: float | None


@dataclass(frozen=True)
class CoarserGrid:
    """A grid of every second, third, ... point.

    Attributes:
        step: Every how many points one is kept. All offsets are averaged.
        points: Mean number of points.
        loss: By how much the value at the chosen point is worse than that of the whole grid in the other repeats; mean
            over the repeats in which the points are chosen.
        smallest_loss: The smallest loss of a repeat, and ``largest_loss`` the largest one. There is no confidence
            interval, since every repeat also judges the choices of all others: their losses are not independent.
    """

    step: int
    points: float
    loss: float
    smallest_loss: float
    largest_loss: float


@dataclass(frozen=True)
class Sensitivity:
    """Sensitivity of a study to its searched values.

    Attributes:
        study: Name of the study.
        metric: Name of the metric that decides it.
        metric_info: How it is judged and shown.
        repeats: Number of repeats whose grid was recorded completely.
        points: Every point of the grid.
        variance: Where the variance comes from; None with one repeat or one point.
        budgets: Expected outcome for every number of points; empty with one repeat.
        coarser: Coarser grids; empty with one repeat, and for several dimensions.
    """

    study: str
    metric: str
    metric_info: Metric
    repeats: int
    points: tuple[PointSensitivity, ...]
    variance: VarianceShares | None
    budgets: tuple[RandomBudget, ...]
    coarser: tuple[CoarserGrid, ...]

    def as_json(self) -> dict[str, Any]:
        """Return the sensitivity as a record."""
        record: dict[str, Any] = bounded_record(self)
        return record


def sensitivity(places: Places, carbon: WantedCarbon = None) -> list[Sensitivity]:
    """Return the sensitivity of each study below the given places.

    Raises:
        ResultsError: A study has no completely recorded grid, a point of it failed, or a file is damaged.
    """
    return [_sensitivity(recording) for recording in read_grids(places, carbon)]


def _sensitivity(recording: GridRecording) -> Sensitivity:
    repeats, grid = recording.repeats, recording.grid
    for repeat in repeats:
        if failed := [key for key in grid if repeat.trials[key].last is None]:
            point = f"point {repeat.trials[failed[0]].point}"
            raise ResultsError(f"{recording.study.name}: {point} failed with seed {repeat.seed}, so it has no value")
    values = [[recording.score(repeat, key) for key in grid] for repeat in repeats]
    several = len(repeats) > 1
    return Sensitivity(
        study=recording.study.name,
        metric=recording.metric.name,
        metric_info=recording.metric,
        repeats=len(repeats),
        points=tuple(_point(recording, values, place) for place in range(len(grid))),
        variance=_variance(recording, values) if several and len(grid) > 1 else None,
        budgets=tuple(_budgets(recording)) if several else (),
        coarser=tuple(_coarser(recording)) if several and len(list(recording.study.search_space)) == 1 else (),
    )


def _point(recording: GridRecording, values: Sequence[Sequence[float]], place: int) -> PointSensitivity:
    key = recording.grid[place]
    images = recording.folders[0].workload().val_images
    interval = t_interval([recording.metric.score(of_repeat[place]) for of_repeat in values], 1 / max(1, images))
    assert interval is not None
    chosen = sum(best == key for best in recording.best)
    return PointSensitivity(
        point=recording.repeats[0].trials[key].point,
        validation=interval,
        chosen=chosen,
        training_kwh=_kwh(recording, [key]),
    )


def _kwh(recording: GridRecording, keys: Sequence[PointKey]) -> float | None:
    """Return the mean energy of the trainings of some points; None unless all were metered."""
    energies = [repeat.trials[key].energy_uj for repeat in recording.repeats for key in keys]
    known = [uj for uj in energies if uj is not None]
    return recording.carbon.kwh(statistics.fmean(known)) if len(known) == len(energies) else None


def _variance(recording: GridRecording, values: Sequence[Sequence[float]]) -> VarianceShares:
    """Divide the variance between points, seeds and the rest (two-way analysis of variance, random effects)."""
    import numpy as np
    from scipy.stats import f

    table = np.array(values)
    seeds, points = table.shape
    mean = table.mean()
    of_points, of_seeds = table.mean(axis=0) - mean, table.mean(axis=1) - mean
    rest = table - mean - of_points - of_seeds[:, None]
    square_points = seeds * float((of_points**2).sum()) / (points - 1)
    square_seeds = points * float((of_seeds**2).sum()) / (seeds - 1)
    square_rest = float((rest**2).sum()) / ((points - 1) * (seeds - 1))
    parts = {
        "points": max(0.0, (square_points - square_rest) / seeds),
        "seeds": max(0.0, (square_seeds - square_rest) / points),
        "rest": square_rest,
    }
    whole = sum(parts.values())
    total = float(((table - mean) ** 2).sum())
    ratio = square_points / square_rest if square_rest else math.inf
    return VarianceShares(
        **{name: part / whole if whole else 0.0 for name, part in parts.items()},
        dimensions={
            name: _main_effect(recording, of_points, name) * seeds / total if total else 0.0
            for name in recording.study.search_space
        },
        p=float(f.sf(ratio, points - 1, (points - 1) * (seeds - 1))) if square_points else 1.0,
    )


def _main_effect(recording: GridRecording, of_points: Sequence[float], name: str) -> float:
    """Return the sum of squares of a dimension's main effect, for one repeat."""
    by_value: dict[float, list[float]] = {}
    for key, effect in zip(recording.grid, of_points, strict=True):
        by_value.setdefault(recording.repeats[0].trials[key].point[name], []).append(float(effect))
    return sum(len(effects) * statistics.fmean(effects) ** 2 for effects in by_value.values())


def _budgets(recording: GridRecording) -> list[RandomBudget]:
    """Return the exact expectations of choosing the best of points that are drawn without replacement."""
    n = len(recording.grid)
    kwh = _kwh(recording, recording.grid)
    ranked = [
        sorted(recording.grid, key=lambda key: _rank(recording, place, key)) for place in range(len(recording.repeats))
    ]
    found: list[RandomBudget] = []
    before: float | None = None
    for trials in range(1, n + 1):
        # The point of rank j is the best one if it is drawn and the others come from the n - j - 1 points after it.
        chances = [math.comb(n - j - 1, trials - 1) / math.comb(n, trials) for j in range(n)]
        expected = statistics.fmean(
            sum(chance * recording.elsewhere[place][key] for chance, key in zip(chances, keys, strict=True))
            for place, keys in enumerate(ranked)
        )
        gain = None if before is None or not kwh else (expected - before) / kwh
        energy_kwh = None if kwh is None else kwh * trials
        found.append(RandomBudget(trials, recording.metric.score(expected), energy_kwh, gain))
        before = expected
    return found


def _rank(recording: GridRecording, place: int, key: PointKey) -> tuple[float, float]:
    last = recording.repeats[place].trials[key].last
    assert last is not None
    return -last.score, last.val_loss


def _coarser(recording: GridRecording) -> list[CoarserGrid]:
    """Return the loss of coarser grids, down to three points."""
    n, found = len(recording.grid), []
    for step in range(2, n // 3 + 1):
        offsets = [recording.grid[offset::step] for offset in range(step)]
        losses = []
        for place in range(len(recording.repeats)):
            of_best = recording.elsewhere[place][recording.best[place]]
            chosen = [min(keys, key=lambda key: _rank(recording, place, key)) for keys in offsets]
            losses.append(of_best - statistics.fmean(recording.elsewhere[place][key] for key in chosen))
        found.append(CoarserGrid(step, n / step, statistics.fmean(losses), min(losses), max(losses)))
    return found
