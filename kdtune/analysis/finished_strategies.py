"""Finished strategies, with everything that is needed to run their models."""

import shlex
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kdtune.analysis.comparison import carbon_for
from kdtune.analysis.find_results import Places, find_results
from kdtune.artifacts.teacher_record import read_record
from kdtune.energy.carbon import Carbon
from kdtune.errors import ResultsError
from kdtune.results.folder import StrategyFolder
from kdtune.results.frozen_study import ResolvedSettings
from kdtune.results.outcome import build_result
from kdtune.results.strategy_result import StrategyResult
from kdtune.specs.study import Study
from kdtune.storage.paths import cache_dir


@dataclass(frozen=True)
class FinishedStrategy:
    """A finished strategy.

    Attributes:
        folder: Folder of its results.
        study: The study as it ran.
        resolved: Resolved settings of the run.
        result: Its results.
        teacher_folder: Folder of the teacher in the cache.
        teacher: Record of the teacher.
    """

    folder: StrategyFolder
    study: Study
    resolved: ResolvedSettings
    result: StrategyResult
    teacher_folder: Path
    teacher: dict[str, Any]

    @property
    def student_file(self) -> Path:
        """File with the weights of the first repeat's chosen model."""
        return self.folder.weights(self.study.seed, self.study.seed)

    @property
    def int8_file(self) -> Path | None:
        """File of the first repeat's quantised model; None for a strategy whose model is float."""
        if self.result.repeats[0].deployed is None:
            return None
        return self.folder.int8_weights(self.study.seed, self.study.seed)

    @property
    def networks(self) -> tuple[Any, ...]:
        """Key that is equal for strategies of a study whose networks differ in the student's weights only."""
        run = (self.resolved.cpus_per_trial, self.resolved.gpus_per_trial)
        return self.folder.path.parent, self.study.attribution, self.teacher_folder, *run


def find_finished(places: Places, carbon: Carbon | Callable[[Carbon], Carbon] | None = None) -> list[FinishedStrategy]:
    """Return the strategies below the given places, all of which must be finished and have their networks.

    Args:
        places: The folder of a strategy, of a study, or of several studies.
        carbon: Settings for CO2; see :func:`kdtune.compare`.

    Raises:
        ResultsError: Something is missing or damaged. The message names everything that is missing.
    """
    found, faults = [], []
    for folder in find_results(places):
        study, resolved = folder.study_here(), folder.rerun_settings()
        result = build_result(folder, carbon_for(folder, carbon))
        teacher_folder = cache_dir() / "teachers" / resolved.teacher
        teacher, student = read_record(teacher_folder), folder.weights(study.seed, study.seed)
        if result.status != "completed":
            command = f"kdtune resume {shlex.quote(str(folder.path))}"
            faults.append(f"{folder.path}: is {result.status}; finish it with '{command}'")
        elif not student.is_file():
            faults.append(f"{student}: is missing; run the strategy again with 'kdtune study --fresh'")
        elif result.repeats[0].deployed and not folder.int8_weights(study.seed, study.seed).is_file():
            faults.append(f"{folder.path}: student-int8.pt2 is missing; run it again with 'kdtune study --fresh'")
        elif teacher is None or not _has_weights(study):
            faults.append(
                f"{teacher_folder}: the teacher of {study.name} is not in the cache; set KDTUNE_CACHE_DIR to the cache "
                "that contains it, or run a strategy with a teacher again on the study's machine, with --out DIR"
                + (" and --teacher FILE" if study.teacher_weights else "")
            )
        else:
            found.append(FinishedStrategy(folder, study, resolved, result, teacher_folder, teacher))
    if faults:
        raise ResultsError("\n".join(dict.fromkeys(faults)))
    return found


def _has_weights(study: Study) -> bool:
    """Return whether given weights still exist. Weights of a trained teacher are checked with its record."""
    if study.teacher_weights is None:
        return True
    from kdtune.artifacts.given_teacher import kept_weights

    return kept_weights(study.teacher_weights).is_file()
