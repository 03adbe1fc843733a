"""How each of the paper's claims is put to the test: from results to paired figures and a verdict for each study."""

import math
import statistics
from collections.abc import Callable, Collection, Iterator, Sequence

from kdtune.analysis.evidence import Comparison, Evidence, Judge, difference
from kdtune.analysis.study_pairs import alike
from kdtune.analysis.study_runs import StrategyRun, StudyRun
from kdtune.analysis.verdicts import Interval, Verdict, exceeds, lies_within, paired, t_interval
from kdtune.energy.attribution import charge_all
from kdtune.energy.carbon import J_PER_KWH
from kdtune.energy.ledger import read_folder
from kdtune.results.outcome import own_of_repeats
from kdtune.results.trials import TrialLog
from kdtune.strategies import STRATEGIES

#: Differences of accuracy that do not matter: half a point.
MARGIN = 0.005

#: A difference of tau that does not matter: less than a step of the paper's search.
TAU_MARGIN = 1.0

#: The paper's 19 and 20 times, with a tenth of room on either side.
COST_LOW, COST_HIGH = 19 / 1.1, 20 * 1.1

#: Share of an energy that repeats may have in common and still count as measurements of their own.
MOST_SHARED = 0.1

#: Points in a grid whose cost the paper's factors are about.
GRID_POINTS = (19, 20)

#: What a study is set to for costs like the paper's.
LIVE_TEACHER = "teacher_logits=live"

#: The batch size that others are held against.
USUAL_BATCH = 128


def matches(interval: Interval) -> Verdict:
    """No difference of accuracy that matters."""
    return lies_within(interval, -MARGIN, MARGIN)


def better(interval: Interval) -> Verdict:
    """A gain of accuracy; contradicted where whatever gain there is does not matter."""
    return exceeds(interval, above=0.0, below=MARGIN)


def clearly_better(interval: Interval) -> Verdict:
    """A gain of accuracy that matters."""
    return exceeds(interval, above=MARGIN, below=MARGIN)


def not_better(interval: Interval) -> Verdict:
    """No gain of accuracy that matters."""
    return lies_within(interval, -math.inf, MARGIN)


def accuracy(
    first: str, second: str, judge: Judge, losses: Collection[str] | None = None
) -> Callable[[Sequence[StudyRun]], list[Evidence]]:
    """A test of the difference of test accuracy between two strategies of one study.

    Args:
        first: A strategy.
        second: The strategy whose accuracy is taken off.
        judge: From the interval to the verdict.
        losses: Of the studies that count; None for all.
    """

    def test(studies: Sequence[StudyRun]) -> list[Evidence]:
        return [
            difference(pair, (first, second), "test accuracy", "fraction", [run.by_seed("test") for run in pair], judge)
            for study in _of_loss(studies, losses)
            for pair in _both(study, first, second)
        ]

    return test


def grid_or_random(studies: Sequence[StudyRun]) -> list[Evidence]:
    """Test accuracy of a grid less that of random search, where the latter tried some points and not all."""
    found = []
    for study in studies:
        for grid, drawn in _both(study, "grid", "random"):
            whole = len(grid.study.search_space.points())
            trials = STRATEGIES.load("random").Options.model_validate(drawn.study.labelled("random")[1]).trials
            measure = f"grid - random of {trials} trial{'s' * (trials > 1)}, test accuracy"
            comparison = Comparison((grid, drawn), measure, "fraction")
            if trials == 1:
                found.append(comparison.unsettled("one tau that is drawn is no search"))
            elif trials >= whole:
                found.append(comparison.unsettled(f"random search may try {trials} points and the grid has {whole}"))
            else:
                sides = [grid.by_seed("test"), drawn.by_seed("test")]
                found.append(comparison.of_pairs(("grid", "random"), sides, clearly_better))
    return found


def cost(studies: Sequence[StudyRun]) -> list[Evidence]:
    """How many times the energy of the random tau a grid takes: as run, and of training only."""
    return [
        _cost_ratio(pair, measure, key)
        for study in studies
        for pair in _both(study, "grid", "stochastic")
        for measure, key in (("as run", "charged_kwh"), ("training only", "training_kwh"))
    ]


def _cost_ratio(runs: tuple[StrategyRun, StrategyRun], measure: str, key: str) -> Evidence:
    comparison = Comparison(runs, f"energy of grid / stochastic, {measure}", "ratio")
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
    qualities = {run.result["cost"]["quality"] for run in runs}
    if points not in GRID_POINTS:
        return f"the grid has {points} points, not 19"
    if replayed:
        return (
            f"the teacher was asked once for all points; the paper asked in each step: run it with --set {LIVE_TEACHER}"
        )
    if any(run.result["status"] != "completed" for run in runs):
        return "not finished"
    if None in qualities:
        return "energy was not measured"
    if len(qualities) > 1:
        return f"energy was obtained in different ways: {', '.join(sorted(qualities))}"
    return ""


def _of_repeats(run: StrategyRun, key: str) -> tuple[dict[int, float], float]:
    """Microjoules of each repeat by its seed, and which share of all of them is common to the repeats, split evenly.

    Args:
        run: A completed strategy.
        key: ``charged_kwh`` or ``training_kwh``.
    """
    cost = run.result["cost"]
    own = own_of_repeats(run.study, TrialLog.read(run.folder.trials), charge_all(read_folder(run.folder.ledger)))
    total = cost[key] / cost["carbon"]["pue"] * J_PER_KWH * 1e6
    common = max(0.0, total - sum(own))
    return {seed: uj + common / len(own) for seed, uj in zip(run.study.seeds(), own, strict=True)}, common / total


def second_best(studies: Sequence[StudyRun]) -> list[Evidence]:
    """The random tau against the second-best tau, on the images held out: only the best met the test images.

    Which tau is second is told by the other repeats: by its own, chance would lift it.
    """
    found = []
    for study in _of_loss(studies, ("hkd",)):
        if list(study.study.search_space) != ["tau"]:
            continue
        for grid, random_tau in _both(study, "grid", "stochastic"):
            seconds = _second_best(grid)
            measure = "second-best tau - stochastic, validation accuracy"
            comparison = Comparison((grid, random_tau), measure, "fraction")
            if seconds:
                sides = [seconds, random_tau.by_seed("val_accuracy")]
                found.append(comparison.of_pairs(("second-best", "stochastic"), sides, not_better))
            else:
                reason = "the second-best tau of a repeat is told by the others, so it takes two whole grids"
                found.append(comparison.unsettled(reason))
    return found


def _second_best(grid: StrategyRun) -> dict[int, float]:
    """By seed, the validation accuracy at the tau that is second in the mean of all other seeds."""
    tables: dict[int, dict[float, float]] = {}
    for trial in TrialLog.read(grid.folder.trials).trials.values():
        if trial.status == "completed" and trial.val_accuracy is not None:
            tables.setdefault(trial.seed, {})[trial.point["tau"]] = trial.val_accuracy
    whole = len(grid.study.search_space.points())
    tables = {seed: table for seed, table in tables.items() if len(table) == whole}
    if len(tables) < 2 or whole < 2:
        return {}
    found = {}
    for seed, table in tables.items():
        others = [one for other, one in tables.items() if other != seed]
        ranked = sorted(table, key=lambda tau: (-statistics.fmean(one[tau] for one in others), tau))
        found[seed] = table[ranked[1]]
    return found


def stronger_teacher(studies: Sequence[StudyRun]) -> list[Evidence]:
    """The tau that a grid chooses under a larger teacher, less that under a smaller one, all else alike."""
    groups = alike([study for study in studies if "grid" in study.strategies], "teacher", "teacher_training")
    found = []
    for group in groups:
        by_size = sorted((study.strategies["grid"] for study in group), key=lambda run: run.teacher_macs)
        for index, weak in enumerate(by_size):
            for strong in by_size[index + 1 :]:
                if strong.teacher_macs > weak.teacher_macs:
                    sides = [_chosen_tau(strong), _chosen_tau(weak)]
                    names = (f"under {strong.study.teacher}", f"under {weak.study.teacher}")
                    found.append(difference((strong, weak), names, "tau chosen by grid", "tau", sides, _higher_tau))
    return found


def _higher_tau(interval: Interval) -> Verdict:
    return exceeds(interval, above=0.0, below=TAU_MARGIN)


def _chosen_tau(run: StrategyRun) -> dict[int, float]:
    return {repeat["seed"]: repeat["chosen"]["tau"] for repeat in run.result["repeats"] if repeat["test"]}


def batch_size(studies: Sequence[StudyRun]) -> list[Evidence]:
    """Test accuracy of the random tau at other batch sizes, less that at the usual one, all else alike."""
    found = []
    for group in alike([study for study in studies if "stochastic" in study.strategies], "training.batch_size"):
        runs = sorted((study.strategies["stochastic"] for study in group), key=_batch)
        usual = next((run for run in runs if _batch(run) == USUAL_BATCH), runs[0])
        for run in runs:
            if _batch(run) != _batch(usual):
                sides = [run.by_seed("test"), usual.by_seed("test")]
                names = (f"batches of {_batch(run)}", f"batches of {_batch(usual)}")
                found.append(difference((run, usual), names, "test accuracy", "fraction", sides, matches))
    return found


def _batch(run: StrategyRun) -> int:
    return run.study.training.batch_size


def _of_loss(studies: Sequence[StudyRun], losses: Collection[str] | None) -> list[StudyRun]:
    return [study for study in studies if losses is None or study.study.loss in losses]


def _both(study: StudyRun, first: str, second: str) -> Iterator[tuple[StrategyRun, StrategyRun]]:
    """The two strategies, where both were run."""
    if first in study.strategies and second in study.strategies:
        yield study.strategies[first], study.strategies[second]
