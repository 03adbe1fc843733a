"""Evidence on a claim: figures of two sides, paired by seed, and the verdict that follows."""

import statistics
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from kdtune.analysis.comparability import differences
from kdtune.analysis.verdicts import FEWEST, Interval, Verdict, paired, t_interval
from kdtune.paper.setting_differences import departures, other_options, paper_study_of, protocol, reduced
from kdtune.paper.study_runs import StrategyRun
from kdtune.storage.wording import counted

#: Returns the verdict on a claim for an interval.
Judge = Callable[[Interval], Verdict]


@dataclass(frozen=True)
class Evidence:
    """Evidence on a claim from one study or a pair of studies.

    Attributes:
        studies: Names of the studies.
        places: Folders of the studies.
        commits: Commits of kdtune that ran them, without duplicates; None if unknown.
        setting: Description of the trainings.
        is_papers: Whether these are the paper's studies for this claim.
        departs: Descriptions of unusual options and, for the paper's studies, of reductions and changes.
        measure: What was compared, such as ``stochastic - grid, test accuracy``.
        unit: Unit of the metric, such as ``fraction`` of accuracy; ``tau`` or ``ratio``.
        sides: Mean of each side over the pairs, by name; empty for ratios.
        interval: Interval of the difference or ratio; None without pairs.
        verdict: The verdict.
        reason: Why the claim is not settled, unless the interval shows it.
        protocol: For the paper's studies, by study and folder: differences in training and evaluation from the paper.
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
        """Return the evidence as a record."""
        return {**asdict(self), "interval": self.interval.as_json() if self.interval else None}


class PairComparison:
    """A comparison of two runs, which turns their figures into evidence."""

    def __init__(
        self, runs: tuple[StrategyRun, StrategyRun], measure: str, unit: str, apart_from: Collection[str] = ()
    ) -> None:
        """Collect the facts about the runs that do not depend on the result of the comparison.

        Args:
            runs: Both sides.
            measure: What is compared.
            unit: Unit of the metric, such as ``fraction``; ``tau`` or ``ratio``.
            apart_from: Keys of :data:`kdtune.analysis.comparability.MUST_AGREE` in which the sides may differ.
        """
        self._apart = differences([run.folder for run in runs], apart_from)
        study = runs[0].study
        is_papers = all(paper_study_of(run.study) for run in runs)
        departs = dict.fromkeys(text for run in runs for text in _changed_settings(run, is_papers))
        # Both sides are reduced alike, so one description is enough.
        cuts = [text for run in runs if is_papers and (text := reduced(run, run.result.strategy))][:1]
        self._common: dict[str, Any] = {
            "studies": tuple(dict.fromkeys(run.study.name for run in runs)),
            "places": tuple(dict.fromkeys(run.place for run in runs)),
            "commits": tuple(dict.fromkeys(run.commit for run in runs)),
            "setting": f"{study.dataset}, {study.teacher} to {study.student}, {study.loss}, "
            f"{counted(study.training.epochs, 'epoch')}, {counted(runs[0].images, 'image', separated=True)}",
            "is_papers": is_papers,
            "departs": (*cuts, *departs),
            "measure": measure,
            "unit": unit,
            "protocol": _protocols(runs),
        }

    def unsettled(
        self, reason: str, sides: dict[str, float] | None = None, interval: Interval | None = None
    ) -> Evidence:
        """Return evidence without a verdict, with the reason."""
        return Evidence(**self._common, sides=sides or {}, interval=interval, verdict="not settled", reason=reason)

    def judged(self, interval: Interval, judge: Judge, sides: dict[str, float] | None = None) -> Evidence:
        """Return evidence with the verdict on an interval, or without one if the sides or repeats do not allow it."""
        if reason := self._why_not(interval):
            return self.unsettled(reason, sides, interval)
        return Evidence(**self._common, sides=sides or {}, interval=interval, verdict=judge(interval))

    def _why_not(self, interval: Interval) -> str:
        """Return why an interval allows no verdict; empty if it does."""
        if self._apart:
            return f"the sides also differ in other settings: {'; '.join(self._apart)}"
        if interval.n == 1:
            return "one repeat has no spread"
        if interval.n < FEWEST:
            return f"{interval.n} repeats may agree by chance: {FEWEST} are needed"
        return "" if interval.is_bounded else "the repeats do not differ, so they give no interval"

    def of_pairs(
        self, names: tuple[str, str], sides: Sequence[Mapping[int, float]], judge: Judge, resolution: float
    ) -> Evidence:
        """Return evidence from the differences of both sides' figures over the seeds that both have.

        Args:
            names: Names of the sides.
            sides: Figures of the sides by seed.
            judge: Returns the verdict on an interval.
            resolution: Smallest possible difference between two unequal figures.
        """
        interval = t_interval(paired(*sides), resolution)
        if interval is None:
            return self.unsettled("no seed has a finished repeat on both sides")
        seeds = sides[0].keys() & sides[1].keys()
        means = {name: statistics.fmean(side[seed] for seed in seeds) for name, side in zip(names, sides, strict=True)}
        return self.judged(interval, judge, means)


def _changed_settings(run: StrategyRun, is_papers: bool) -> list[str]:
    """Describe changed settings; for studies that are not the paper's, only the options of the strategy."""
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
