"""How the paper's claim on the cost of tuning is put to the test: the energies of a grid and of a random tau."""

import math
from collections.abc import Sequence

from kdtune.analysis.green_index import EnergyKey
from kdtune.analysis.verdicts import Interval, Verdict, lies_within, paired, t_interval
from kdtune.energy.attribution import FLAGS, SHARED_NODE
from kdtune.energy.carbon import J_PER_KWH
from kdtune.energy.ledger import read_folder
from kdtune.energy.several_nodes import charge_all
from kdtune.paper.evidence import Evidence, PairComparison
from kdtune.paper.study_runs import StrategyRun, StudyRun
from kdtune.results.outcome import own_of_repeats
from kdtune.results.trial_log import TrialLog

#: The paper's 19 and 20 times, with a tenth of room on either side.
COST_LOW, COST_HIGH = 19 / 1.1, 20 * 1.1

#: Share of an energy that repeats may have in common and still count as measurements of their own.
MOST_SHARED = 0.1

#: Points in a grid whose cost the paper's factors are about.
GRID_POINTS = (19, 20)

#: What a study is set to for costs like the paper's.
LIVE_TEACHER = "teacher_logits=live"


def cost(studies: Sequence[StudyRun]) -> list[Evidence]:
    """How many times the energy of the random tau a grid takes: as run, and of training only."""
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
    energies = [_of_repeats(run, key) for run in runs]
    logs = ({seed: math.log(uj) for seed, uj in by_seed.items()} for by_seed, _ in energies)
    interval = t_interval(paired(*logs))
    if interval is None:
        return comparison.unsettled("no seed in common")
    shared = max(share for _, share in energies)
    if shared > MOST_SHARED:
        reason = f"{shared:.0%} of the energy is common to the repeats, so they are no measurements of their own"
        return comparison.unsettled(reason, interval=Interval.unbounded(interval.mean, interval.n).exponential())
    return comparison.judged(interval.exponential(), _costs_nineteen)


def _costs_nineteen(interval: Interval) -> Verdict:
    return lies_within(interval, COST_LOW, COST_HIGH)


def _not_comparable(runs: tuple[StrategyRun, StrategyRun]) -> str:
    """Why the energies of a grid and another say nothing of the paper's factors; empty where they do."""
    points = len(runs[0].study.search_space.points())
    replayed = any(run.study.teacher_logits == "replay" for run in runs)
    if points not in GRID_POINTS:
        return f"the grid has {points} points, not 19"
    if replayed:
        return (
            f"the teacher was asked once for all points; the paper asked in each step: run it with --set {LIVE_TEACHER}"
        )
    if any(run.result.status != "completed" for run in runs):
        return "not finished"
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


def _of_repeats(run: StrategyRun, key: EnergyKey) -> tuple[dict[int, float], float]:
    """Microjoules of each repeat by its seed, and which share of all of them is common to the repeats, split evenly.

    Args:
        run: A completed strategy.
        key: The energy that is meant.
    """
    cost = run.result.cost
    charged_kwh: float | None = getattr(cost, key)
    assert charged_kwh is not None, "its energy was measured"
    own = own_of_repeats(run.study, TrialLog.read(run.folder.trials), charge_all(read_folder(run.folder.ledger)))
    total = charged_kwh / cost.carbon.pue * J_PER_KWH * 1e6
    common = max(0.0, total - sum(own))
    return {seed: uj + common / len(own) for seed, uj in zip(run.study.seeds(), own, strict=True)}, common / total
