"""Tests of the paper's claims about the cost of tuning, from the energies of a grid and of a drawn tau."""

from collections.abc import Callable, Sequence

from kdtune.analysis.green_index import EnergyKey
from kdtune.analysis.repeat_energy import (
    MOST_SHARED,
    RepeatEnergy,
    energy_of_repeats,
    energy_ratio,
    energy_ratio_with_known_common,
)
from kdtune.analysis.verdicts import Interval, Verdict, lies_within
from kdtune.energy.attribution import FLAGS, SHARED_NODE
from kdtune.paper.evidence import Evidence, PairComparison
from kdtune.paper.study_runs import StrategyRun, StudyRun

#: The paper's factors of 19 and 20, with a margin of a tenth on either side.
COST_LOW, COST_HIGH = 19 / 1.1, 20 * 1.1

#: Numbers of points of the grids to which the paper's factors refer.
GRID_POINTS = (19, 20)

#: Setting of a study whose costs are comparable with the paper's.
LIVE_TEACHER = "teacher_logits=live"


def cost(studies: Sequence[StudyRun]) -> list[Evidence]:
    """Return evidence on the ratio of a grid's energy to that of a drawn tau: as run, and for training only."""
    on_real_images = [study for study in studies if study.study.synthesis is None]
    return _evidence(on_real_images, (("as run", "charged_kwh", _independent), _TRAINING))


def cost_without_data(studies: Sequence[StudyRun]) -> list[Evidence]:
    """Return the same evidence from studies without data: with the images, made once for all, and for training only."""
    data_free = [study for study in studies if study.study.synthesis is not None]
    return _evidence(data_free, (("as run with the images", "charged_kwh", _with_images), _TRAINING))


#: Returns the interval of the ratio of two energies, and why it allows no verdict, or an empty string.
_Ratio = Callable[[RepeatEnergy, RepeatEnergy], tuple[Interval | None, str]]


def _independent(first: RepeatEnergy, second: RepeatEnergy) -> tuple[Interval | None, str]:
    shared = max(first.common, second.common)
    why = f"{shared:.0%} of the energy is common to the repeats, so they are not independent measurements"
    return energy_ratio(first, second), why if shared > MOST_SHARED else ""


def _with_images(first: RepeatEnergy, second: RepeatEnergy) -> tuple[Interval | None, str]:
    return energy_ratio_with_known_common(first, second), ""


#: A measure: its name, the energy that is compared, and how.
_Measure = tuple[str, EnergyKey, _Ratio]

_TRAINING: _Measure = ("training only", "training_kwh", _independent)


def _evidence(studies: Sequence[StudyRun], measures: Sequence[_Measure]) -> list[Evidence]:
    return [
        _cost_ratio(pair, *measure)
        for study in studies
        for pair in study.both("grid", "stochastic")
        for measure in measures
    ]


def _cost_ratio(runs: tuple[StrategyRun, StrategyRun], measure: str, key: EnergyKey, ratio_of: _Ratio) -> Evidence:
    comparison = PairComparison(runs, f"energy of grid / stochastic, {measure}", "ratio")
    if reason := _not_comparable(runs):
        return comparison.unsettled(reason)
    first, second = (energy_of_repeats(run.folder, run.result, key) for run in runs)
    assert first is not None and second is not None, "their energy was measured"
    ratio, reason = ratio_of(first, second)
    if ratio is None:
        return comparison.unsettled("no seed in common")
    return comparison.unsettled(reason, interval=ratio) if reason else comparison.judged(ratio, _costs_nineteen)


def _costs_nineteen(interval: Interval) -> Verdict:
    return lies_within(interval, COST_LOW, COST_HIGH)


def _not_comparable(runs: tuple[StrategyRun, StrategyRun]) -> str:
    """Return why the energies of two runs cannot be compared with the paper's factors; empty if they can."""
    points = len(runs[0].study.search_space.points())
    replayed = any(run.study.teacher_logits == "replay" for run in runs)
    if points not in GRID_POINTS:
        return f"the grid has {points} points, not 19"
    if replayed:
        return (
            "the teacher's logits were computed once for all points, but the paper ran the teacher in each step: use "
            f"--set {LIVE_TEACHER}"
        )
    if any(run.result.status != "completed" for run in runs):
        return "a strategy is not finished"
    costs = [run.result.cost for run in runs]
    qualities = {cost.quality for cost in costs if cost.quality}
    if not all(cost.quality for cost in costs):
        return "energy was not measured"
    if len(qualities) > 1:
        return f"energy was obtained in different ways: {', '.join(sorted(qualities))}"
    if len({cost.attribution for cost in costs}) > 1:
        return "idle power is charged to one of them only (attribution)"
    if len(machines := {str(node) for cost in costs for node in cost.hardware}) > 1:
        return f"they ran on different machines: {'; '.join(sorted(machines))}"
    if any(SHARED_NODE in cost.flags for cost in costs):
        return FLAGS[SHARED_NODE]
    return ""
