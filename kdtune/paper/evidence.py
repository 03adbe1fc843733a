"""What results say of a claim: figures of two sides, paired by seed, and the verdict that follows."""

import statistics
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from kdtune.analysis.comparability import differences
from kdtune.analysis.verdicts import FEWEST, Interval, Verdict, paired, t_interval
from kdtune.paper.setting_differences import departures, other_options, paper_study_of, protocol, reduced
from kdtune.paper.study_runs import StrategyRun

#: From an interval to what it says of a claim.
Judge = Callable[[Interval], Verdict]


@dataclass(frozen=True)
class Evidence:
    """What one study, or a pair of them, says of a claim.

    Attributes:
        studies: Their names.
        places: Their folders.
        commits: Of kdtune that ran them, each once; None where it is not known.
        setting: What was trained, in words.
        is_papers: Whether they are the paper's own for this claim.
        departs: Unusual options, in words; of the paper's studies also how they were cut short or changed.
        measure: What was compared, such as ``stochastic - grid, test accuracy``.
        unit: ``fraction`` of accuracy, ``tau`` or ``ratio``.
        sides: The mean of either side over the pairs, by name; empty for ratios.
        interval: Of the difference or ratio; None where there is no pair.
        verdict: What follows.
        reason: Why it is not settled, where that is not the interval.
        protocol: By study and folder, of the paper's studies: how they were trained and judged otherwise than there.
    """

    studies: tuple[str, ...]
    places: tuple[str, ...]
    commits: tuple[str | None, ...]
    setting: str
    is_papers: bool
    departs: tuple[str, ...]
    measure: str
    unit: str
    sides: dict[str, float]
    interval: Interval | None
    verdict: Verdict
    protocol: dict[str, tuple[str, ...]]
    reason: str = ""

    def as_json(self) -> dict[str, Any]:
        """As a record."""
        return {**asdict(self), "interval": self.interval.as_json() if self.interval else None}


class PairComparison:
    """Two runs that are held against each other: what can be said before and after a look at their figures."""

    def __init__(
        self, runs: tuple[StrategyRun, StrategyRun], measure: str, unit: str, apart_from: Collection[str] = ()
    ) -> None:
        """Note what there is to say of the runs, whatever the comparison gives.

        Args:
            runs: Both sides.
            measure: What is compared.
            unit: ``fraction``, ``tau`` or ``ratio``.
            apart_from: What the sides may differ in, of :data:`kdtune.analysis.comparability.MUST_AGREE`.
        """
        self._apart = differences([run.folder for run in runs], apart_from)
        study = runs[0].study
        is_papers = all(paper_study_of(run.study) for run in runs)
        departs = dict.fromkeys(text for run in runs for text in _changed_settings(run, is_papers))
        # Both sides are cut short alike: one of them says it.
        cuts = [text for run in runs if is_papers and (text := reduced(run, run.result.strategy))][:1]
        self._common: dict[str, Any] = {
            "studies": tuple(dict.fromkeys(run.study.name for run in runs)),
            "places": tuple(dict.fromkeys(run.place for run in runs)),
            "commits": tuple(dict.fromkeys(run.commit for run in runs)),
            "setting": f"{study.dataset}, {study.teacher} to {study.student}, {study.loss}, "
            f"{study.training.epochs} epoch{'s' * (study.training.epochs > 1)}, {runs[0].images:,} images",
            "is_papers": is_papers,
            "departs": (*cuts, *departs),
            "measure": measure,
            "unit": unit,
            "protocol": _protocols(runs),
        }

    def unsettled(
        self, reason: str, sides: dict[str, float] | None = None, interval: Interval | None = None
    ) -> Evidence:
        """Nothing follows, and why."""
        return Evidence(**self._common, sides=sides or {}, interval=interval, verdict="not settled", reason=reason)

    def judged(self, interval: Interval, judge: Judge, sides: dict[str, float] | None = None) -> Evidence:
        """What follows from an interval, where the sides are alike and the repeats were enough for one."""
        if reason := self._why_not(interval):
            return self.unsettled(reason, sides, interval)
        return Evidence(**self._common, sides=sides or {}, interval=interval, verdict=judge(interval))

    def _why_not(self, interval: Interval) -> str:
        """Why an interval settles nothing; empty where it does."""
        if self._apart:
            return f"the sides differ in more than what is compared: {'; '.join(self._apart)}"
        if interval.n == 1:
            return "one repeat has no spread"
        if interval.n < FEWEST:
            return f"{interval.n} repeats may agree by chance: it takes {FEWEST}"
        return "" if interval.is_bounded else "the repeats do not differ, so they bound nothing"

    def of_pairs(
        self, names: tuple[str, str], sides: Sequence[Mapping[int, float]], judge: Judge, resolution: float
    ) -> Evidence:
        """What follows from the differences of two figures of each seed; means are over the seeds that both have.

        Args:
            names: Of the sides.
            sides: Their figures by seed.
            judge: From the interval to the verdict.
            resolution: The least that two figures can be apart without being equal.
        """
        interval = t_interval(paired(*sides), resolution)
        if interval is None:
            return self.unsettled("no repeat of one seed is finished on both sides")
        seeds = sides[0].keys() & sides[1].keys()
        means = {name: statistics.fmean(side[seed] for seed in seeds) for name, side in zip(names, sides, strict=True)}
        return self.judged(interval, judge, means)


def _changed_settings(run: StrategyRun, is_papers: bool) -> list[str]:
    """What was changed; of a study that is none of the paper's its strategy's options only."""
    label = run.result.strategy
    if is_papers:
        return departures(run, label)
    options = other_options(run.study, label)
    return [options] if options else []


def _protocols(runs: Sequence[StrategyRun]) -> dict[str, tuple[str, ...]]:
    found: dict[str, tuple[str, ...]] = {}
    for run in runs:
        if paper_study_of(run.study):
            key = f"{run.study.name} ({run.place})"
            found[key] = tuple(dict.fromkeys([*found.get(key, ()), *protocol(run, run.result.strategy)]))
    return found
