"""Results with the study they came from: what the paper's tables and claims are held against."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from kdtune.analysis.comparison import WantedCarbon, carbon_for
from kdtune.analysis.find_results import Places, find_results_if_any
from kdtune.energy.flops import Workload
from kdtune.results.folder import StrategyFolder
from kdtune.results.outcome import build_result
from kdtune.results.shared_costs import read_shared
from kdtune.results.shared_document import Teacher
from kdtune.results.strategy_result import StrategyResult
from kdtune.specs.study import Study

#: Accuracies of a repeat.
AccuracyKey = Literal["val_accuracy", "test_accuracy"]


@dataclass(frozen=True)
class StrategyRun:
    """One strategy of one study, as it ran.

    Attributes:
        folder: Its results.
        study: As it ran.
        result: Its ``result.json``, made again.
        workload: The size of its trainings.
        teacher: None where none was used.
    """

    folder: StrategyFolder
    study: Study
    result: StrategyResult
    workload: Workload
    teacher: Teacher | None

    @property
    def images(self) -> int:
        """Training images that were used, those held out among them."""
        return self.workload.train_images + self.workload.val_images

    @property
    def commit(self) -> str | None:
        """Of kdtune that ran it; None where it is not known."""
        return self.folder.resolved().get("versions", {}).get("commit")

    @property
    def place(self) -> str:
        """The study's folder, as a user here would name it."""
        return os.path.relpath(self.folder.path.parent)

    @property
    def tested(self) -> int:
        """Repeats whose chosen model met the test set."""
        return sum(repeat.test is not None for repeat in self.result.repeats)

    def an_image(self, key: AccuracyKey) -> float:
        """The step in which an accuracy is counted: one image of those that it is of."""
        images = self.workload.val_images if key == "val_accuracy" else self.workload.test_images
        return 1 / max(1, images)

    def by_seed(self, key: AccuracyKey) -> dict[int, float]:
        """An accuracy of each repeat that has it."""
        of = {repeat.seed: getattr(repeat, key) for repeat in self.result.repeats}
        return {seed: accuracy for seed, accuracy in of.items() if accuracy is not None}


@dataclass(frozen=True)
class StudyRun:
    """The strategies that were run in one study's folder: one teacher, one split, the same seeds."""

    strategies: dict[str, StrategyRun]

    @property
    def first(self) -> StrategyRun:
        """Any of them, for what all have in common."""
        return next(iter(self.strategies.values()))

    @property
    def study(self) -> Study:
        """What they ran."""
        return self.first.study

    def both(self, first: str, second: str) -> list[tuple[StrategyRun, StrategyRun]]:
        """Two strategies as a pair; none unless both were run."""
        if first in self.strategies and second in self.strategies:
            return [(self.strategies[first], self.strategies[second])]
        return []


def read_runs(places: Places | None = None, carbon: WantedCarbon = None) -> list[StrategyRun]:
    """Every strategy's results under some places; those of ``./results``, if any, without places.

    Raises:
        ResultsError: None of the places has results, or they are damaged.
    """
    return [_read(folder, carbon) for folder in find_results_if_any(places)]


def by_study(runs: Sequence[StrategyRun]) -> list[StudyRun]:
    """Strategies put together that ran in one folder."""
    groups: dict[Path, dict[str, StrategyRun]] = {}
    for run in runs:
        groups.setdefault(run.folder.path.parent, {})[run.folder.path.name] = run
    return [StudyRun(strategies) for strategies in groups.values()]


def _read(folder: StrategyFolder, carbon: WantedCarbon) -> StrategyRun:
    result = build_result(folder, carbon_for(folder, carbon))
    return StrategyRun(folder, folder.read_study(), result, folder.workload(), read_shared(folder).teacher)
