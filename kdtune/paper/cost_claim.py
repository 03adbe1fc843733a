"""Test of the paper's claim about the cost of tuning, from the energies of a grid and of a tau drawn for each batch."""

from collections.abc import Sequence

from kdtune.analysis.green_index import EnergyKey
from kdtune.analysis.repeat_energy import MOST_SHARED, energy_of_repeats, energy_ratio
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
    figures: tuple[tuple[str, EnergyKey], ...] = (("as run", "charged_kwh"), ("training only", "training_kwh"))
    return [
        _cost_ratio(pair, measure, key)
        for study in studies
        for pair in study.both("grid", "stochastic")
        for measure, key in figures
    ]


def _cost_ratio(runs: tuple[StrategyRun, StrategyRun], measure: str, key: EnergyKey) -> Evidence:
    comparison = PairComparison(runs, f"energy of grid / stochastic, {measure}", "ratio")
    if reason := _not_comparable(runs):
        return comparison.unsettled(reason)
    first, second = (energy_of_repeats(run.folder, run.result, key) for run in runs)
    assert first is not None and second is not None, "their energy was measured"
    ratio = energy_ratio(first, second)
    if ratio is None:
        return comparison.unsettled("no seed in common")
    shared = max(first.common, second.common)
    if shared > MOST_SHARED:
        reason = f"{shared:.0%} of the energy is common to the repeats, so they are not independent measurements"
        return comparison.unsettled(reason, interval=ratio)
    return comparison.judged(ratio, _costs_nineteen)


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
