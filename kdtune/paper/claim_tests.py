"""Tests of the paper's claims, which derive paired figures and a verdict for each study from results."""

import itertools
import math
import statistics
from collections.abc import Callable, Collection, Sequence

from kdtune.analysis.verdicts import Interval, Verdict, exceeds, lies_within
from kdtune.catalog.builtin import STRATEGIES
from kdtune.paper.evidence import Evidence, Judge, PairComparison
from kdtune.paper.study_pairing import group_by_differences
from kdtune.paper.study_runs import StrategyRun, StudyRun
from kdtune.results.trial_log import TrialLog
from kdtune.specs.study import DEFAULT_MARGIN as MARGIN
from kdtune.storage.wording import counted

#: Differences of tau below this, a step of the paper's search, do not matter.
TAU_MARGIN = 1.0

#: The batch size with which others are compared.
USUAL_BATCH = 128


def matches(interval: Interval) -> Verdict:
    """Judge the claim that there is no difference of accuracy that matters."""
    return lies_within(interval, -MARGIN, MARGIN)


def better(interval: Interval) -> Verdict:
    """Judge the claim that accuracy is higher; contradicted if any gain is too small to matter."""
    return exceeds(interval, above=0.0, below=MARGIN)


def clearly_better(interval: Interval) -> Verdict:
    """Judge the claim that accuracy is higher by an amount that matters."""
    return exceeds(interval, above=MARGIN, below=MARGIN)


def no_worse(interval: Interval) -> Verdict:
    """Judge the claim that accuracy is not lower by an amount that matters."""
    return lies_within(interval, -MARGIN, math.inf)


def accuracy(
    first: str, second: str, judge: Judge, losses: Collection[str] | None = None
) -> Callable[[Sequence[StudyRun]], list[Evidence]]:
    """Return a test of the difference of test accuracy between two strategies of one study.

    Args:
        first: A strategy.
        second: The strategy whose accuracy is subtracted.
        judge: Returns the verdict on an interval.
        losses: Losses of the studies to use; None for all studies.
    """

    def test(studies: Sequence[StudyRun]) -> list[Evidence]:
        return [
            of_accuracies(
                PairComparison(pair, f"{first} - {second}, test {pair[0].measured}", pair[0].metric.unit), pair, judge
            )
            for study in _of_loss(studies, losses)
            for pair in study.both(first, second)
        ]

    return test


def of_accuracies(
    comparison: PairComparison,
    runs: tuple[StrategyRun, StrategyRun],
    judge: Judge,
    names: tuple[str, str] | None = None,
) -> Evidence:
    """Return evidence from the difference of test accuracy between two runs, named by default as their strategies."""
    names = names or (runs[0].result.strategy, runs[1].result.strategy)
    sides = [run.by_seed("test_accuracy") for run in runs]
    step = max(run.an_image("test_accuracy") for run in runs)
    return comparison.of_pairs(names, sides, for_gain(judge, runs[0]), step)


def for_gain(judge: Judge, run: StrategyRun) -> Judge:
    """Return a judge of differences of a run's metric, from a judge of gains."""
    return lambda interval: judge(interval.gain(run.metric))


def grid_or_random(studies: Sequence[StudyRun]) -> list[Evidence]:
    """Compare the test accuracies of grid and random search, if the latter tried some of the points and not all."""
    found = []
    for study in studies:
        for grid, drawn in study.both("grid", "random"):
            whole = len(grid.study.search_space.points())
            trials = STRATEGIES.load("random").Options.model_validate(drawn.study.labelled("random")[1]).trials
            measure = f"grid - random of {counted(trials, 'trial')}, test {grid.measured}"
            comparison = PairComparison((grid, drawn), measure, grid.metric.unit)
            if trials == 1:
                found.append(comparison.unsettled("drawing a single tau is not a search"))
            elif trials >= whole:
                found.append(comparison.unsettled(f"random search may try {trials} points and the grid has {whole}"))
            else:
                found.append(of_accuracies(comparison, (grid, drawn), clearly_better))
    return found


def second_best(studies: Sequence[StudyRun]) -> list[Evidence]:
    """Compare a tau drawn for each batch with the second-best tau on validation images, since only the best is tested.

    The second-best tau of a repeat is determined from the other repeats, because chance would favour a tau that was
    selected and evaluated on the same repeat.
    """
    found = []
    for study in _of_loss(studies, ("hkd",)):
        if list(study.study.search_space) != ["tau"]:
            continue
        for random_tau, grid in study.both("stochastic", "grid"):
            seconds = _second_best(grid)
            measure = f"stochastic - second-best tau, validation {grid.measured}"
            comparison = PairComparison((random_tau, grid), measure, grid.metric.unit)
            if seconds:
                sides = [random_tau.by_seed("val_accuracy"), seconds]
                step = random_tau.an_image("val_accuracy")
                found.append(comparison.of_pairs(("stochastic", "second-best"), sides, for_gain(better, grid), step))
            else:
                reason = "the second-best tau of a repeat is determined from the others, which needs two complete grids"
                found.append(comparison.unsettled(reason))
    return found


def _second_best(grid: StrategyRun) -> dict[int, float]:
    """Return, by seed, the validation accuracy at the tau that is second-best in the mean of all other seeds."""
    tables: dict[int, dict[float, float]] = {}
    for trial in TrialLog.read(grid.folder.trials).trials.values():
        value = trial.val_accuracy if grid.has_accuracy else trial.val_objective
        if trial.status == "completed" and value is not None:
            tables.setdefault(trial.seed, {})[trial.point["tau"]] = value
    whole = len(grid.study.search_space.points())
    tables = {seed: table for seed, table in tables.items() if len(table) == whole}
    if len(tables) < 2 or whole < 2:
        return {}
    found = {}
    for seed, table in tables.items():
        others = [one for other, one in tables.items() if other != seed]
        ranked = sorted(table, key=lambda tau: (-grid.metric.score(statistics.fmean(one[tau] for one in others)), tau))
        found[seed] = table[ranked[1]]
    return found


#: Keys in which studies may differ that are compared because of their teachers.
TEACHER_KEYS = ("teacher", "teacher_training", "teacher_weights")


def stronger_teacher(studies: Sequence[StudyRun]) -> list[Evidence]:
    """Compare the tau that a grid chooses under a larger and a smaller teacher, with all other settings equal."""
    found = []
    for group in group_by_differences([study for study in studies if "grid" in study.strategies], *TEACHER_KEYS):
        by_size = sorted((study.strategies["grid"] for study in group), key=_size_of_teacher)
        for weak, strong in itertools.combinations(by_size, 2):
            if _size_of_teacher(strong) > _size_of_teacher(weak):
                names = (f"under {strong.study.teacher}", f"under {weak.study.teacher}")
                measure = f"{names[0]} - {names[1]}, tau chosen by grid"
                comparison = PairComparison((strong, weak), measure, "tau", ("teacher", "teacher's weights"))
                sides = [_chosen_tau(strong), _chosen_tau(weak)]
                found.append(comparison.of_pairs(names, sides, _higher_tau, _step(strong)))
    return found


def _size_of_teacher(run: StrategyRun) -> int:
    return run.workload.teacher_macs


def _higher_tau(interval: Interval) -> Verdict:
    return exceeds(interval, above=0.0, below=TAU_MARGIN)


def _chosen_tau(run: StrategyRun) -> dict[int, float]:
    return {repeat.seed: repeat.chosen["tau"] for repeat in run.result.repeats if repeat.test and repeat.chosen}


def _step(run: StrategyRun) -> float:
    """Return the smallest difference between temperatures of a grid; the paper's step if it has only one."""
    taus = sorted(run.study.search_space["tau"].points())
    return min((float(later - tau) for tau, later in itertools.pairwise(taus)), default=TAU_MARGIN)


def batch_size(studies: Sequence[StudyRun]) -> list[Evidence]:
    """Compare test accuracy with a drawn tau at other batch sizes and the usual one, with all other settings equal."""
    found = []
    for group in group_by_differences(
        [study for study in studies if "stochastic" in study.strategies], "training.batch_size"
    ):
        runs = sorted((study.strategies["stochastic"] for study in group), key=_batch)
        usual = next((run for run in runs if _batch(run) == USUAL_BATCH), runs[0])
        for run in runs:
            if _batch(run) != _batch(usual):
                names = (f"batches of {_batch(run)}", f"batches of {_batch(usual)}")
                measure = f"{names[0]} - {names[1]}, test {run.measured}"
                comparison = PairComparison((run, usual), measure, "fraction", ("training",))
                found.append(of_accuracies(comparison, (run, usual), matches, names))
    return found


def _batch(run: StrategyRun) -> int:
    return run.study.training.batch_size


def _of_loss(studies: Sequence[StudyRun], losses: Collection[str] | None) -> list[StudyRun]:
    return [study for study in studies if losses is None or study.study.loss.name in losses]
