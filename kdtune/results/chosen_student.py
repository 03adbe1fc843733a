"""The student that a finished strategy chose in one repeat, with which another strategy begins."""

import shlex
from dataclasses import dataclass
from pathlib import Path

from kdtune.errors import ResultsError
from kdtune.results.folder import StudyFolder
from kdtune.results.trial_log import TrialLog
from kdtune.specs.study import Study


@dataclass(frozen=True)
class ChosenStudent:
    """A chosen student.

    Attributes:
        trial_id: Identity of its training.
        weights: File of its weights.
        test: Its metrics on the test images.
    """

    trial_id: str
    weights: Path
    test: dict[str, float | None]


def chosen_student(folder: StudyFolder, study: Study, label: str, repeat: int) -> ChosenStudent:
    """Return the student that a strategy chose.

    Args:
        folder: Results folder of the study.
        study: The study.
        label: Label of the strategy.
        repeat: Number of the repeat, counted from 0.

    Raises:
        ResultsError: The strategy has no student for this repeat, or its file is missing.
    """
    own, seed = folder.strategy(label), study.seeds()[repeat]
    evaluation = TrialLog.read(own.trials).evaluations.get(repeat)
    if evaluation is None:
        command = f"kdtune resume {shlex.quote(str(own.path))}"
        raise ResultsError(f"{own.path}: has no student for seed {seed} yet; finish this strategy with '{command}'")
    weights = own.weights(seed, study.seed)
    if not weights.is_file():
        raise ResultsError(f"{weights}: is missing; run the strategy {label} again with --fresh")
    return ChosenStudent(evaluation["trial_id"], weights, evaluation["test"])
