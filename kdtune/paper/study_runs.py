"""Results together with their studies, as needed for the paper's tables and claims."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from kdtune.analysis.comparison import WantedCarbon, carbon_for
from kdtune.analysis.find_results import Places, find_results_if_any
from kdtune.catalog.metric import ACCURACY, Metric
from kdtune.energy.flops import Workload
from kdtune.results.folder import StrategyFolder
from kdtune.results.outcome import build_result
from kdtune.results.shared_document import Teacher
from kdtune.results.shared_inputs import read_shared
from kdtune.results.strategy_result import StrategyResult
from kdtune.specs.study import Study

#: Accuracies of a repeat.
AccuracyKey = Literal["val_accuracy", "test_accuracy"]

#: What takes their place in a task without accuracy.
_OBJECTIVES: dict[AccuracyKey, str] = {"val_accuracy": "val_objective", "test_accuracy": "test_objective"}


@dataclass(frozen=True)
class StrategyRun:
    """The run of one strategy.

    Attributes:
        folder: Folder of the results.
        study: The study as it ran.
        result: Its result, computed again from the files.
        workload: Sizes of its networks and data.
        teacher: The teacher; None if none was used.
    """

    folder: StrategyFolder
    study: Study
    result: StrategyResult
    workload: Workload
    teacher: Teacher | None

    @property
    def images(self) -> int:
        """Number of training images, including the held-out ones."""
        return self.workload.train_images + self.workload.val_images

    @property
    def commit(self) -> str | None:
        """Commit of kdtune that ran the strategy; None if unknown."""
        return self.folder.resolved().get("versions", {}).get("commit")

    @property
    def place(self) -> str:
        """Path of the study's folder, relative to the working directory."""
        return os.path.relpath(self.folder.path.parent)

    @property
    def tested(self) -> int:
        """Number of repeats whose chosen model was tested."""
        return sum(repeat.test is not None for repeat in self.result.repeats)

    def an_image(self, key: AccuracyKey) -> float:
        """Return the resolution of an accuracy: the share of one image."""
        images = self.workload.val_images if key == "val_accuracy" else self.workload.test_images
        return 1 / max(1, images)

    def by_seed(self, key: AccuracyKey) -> dict[int, float]:
        """Return the accuracy of each repeat that has one, by seed; of a task without accuracy, the objective."""
        name = key if self.has_accuracy else _OBJECTIVES[key]
        of = {repeat.seed: getattr(repeat, name) for repeat in self.result.repeats}
        return {seed: value for seed, value in of.items() if value is not None}

    @property
    def has_accuracy(self) -> bool:
        """Whether the task has an accuracy."""
        return not any(
            repeat.val_accuracy is None and repeat.val_objective is not None for repeat in self.result.repeats
        )

    @property
    def measured(self) -> str:
        """Name of what :meth:`by_seed` returns, such as ``accuracy``."""
        return ACCURACY if self.has_accuracy else self.metric.title

    @property
    def metric(self) -> Metric:
        """What :meth:`by_seed` returns."""
        return Metric(ACCURACY) if self.has_accuracy else self.result.deciding


@dataclass(frozen=True)
class StudyRun:
    """The strategies that were run in one study's folder, with the same teacher, split and seeds."""

    strategies: dict[str, StrategyRun]

    @property
    def first(self) -> StrategyRun:
        """The first strategy, for settings that all strategies share."""
        return next(iter(self.strategies.values()))

    @property
    def study(self) -> Study:
        """The study that was run."""
        return self.first.study

    def both(self, first: str, second: str) -> list[tuple[StrategyRun, StrategyRun]]:
        """Return two strategies as a pair; an empty list unless both were run."""
        if first in self.strategies and second in self.strategies:
            return [(self.strategies[first], self.strategies[second])]
        return []


def read_runs(places: Places | None = None, carbon: WantedCarbon = None) -> list[StrategyRun]:
    """Read the results of all strategies below the given places; by default those of ``./results``, if any.

    Raises:
        ResultsError: None of the places has results, or they are damaged.
    """
    return [_read(folder, carbon) for folder in find_results_if_any(places)]


def by_study(runs: Sequence[StrategyRun]) -> list[StudyRun]:
    """Group runs by the folder of their study."""
    groups: dict[Path, dict[str, StrategyRun]] = {}
    for run in runs:
        groups.setdefault(run.folder.path.parent, {})[run.folder.path.name] = run
    return [StudyRun(strategies) for strategies in groups.values()]


def _read(folder: StrategyFolder, carbon: WantedCarbon) -> StrategyRun:
    result = build_result(folder, carbon_for(folder, carbon))
    return StrategyRun(folder, folder.read_study(), result, folder.workload(), read_shared(folder).teacher)
