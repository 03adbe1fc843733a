"""The job that evaluates the chosen models on the test set, in a worker."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kdtune.execution.meter_handle import meter_of
from kdtune.execution.worker_jobs import charged_window, open_training_context
from kdtune.planning.resources import Resources
from kdtune.specs.study import Study


@dataclass(frozen=True)
class Candidate:
    """The chosen model of one repeat, before it is evaluated on the test set.

    Attributes:
        repeat: Number of the repeat, counted from 0.
        window: Window to which the evaluation is charged.
        checkpoints: Folder of the chosen trial's checkpoints.
        epochs: Number of epochs of its training.
        weights: File for the student's weights.
    """

    repeat: int
    window: str
    checkpoints: str
    epochs: int
    weights: str


@dataclass(frozen=True)
class EvaluatedModel:
    """A chosen model's result on the test set.

    Attributes:
        repeat: Number of the repeat, counted from 0.
        metrics: Fractions; see :func:`kdtune.training.evaluation.classification_metrics`.
        predictions: Predicted class of each test image, int64, (images,).
        confusion: Number of test images by true class (row) and predicted class (column), int64, (classes, classes).
        class_names: Names of the first classes; may be empty.
    """

    repeat: int
    metrics: dict[str, float | None]
    predictions: Any
    confusion: Any
    class_names: tuple[str, ...]


def prepare_evaluation(session_id: str) -> None:
    """Import what :func:`evaluate_chosen` uses, so that the next job in this worker starts faster."""
    import kdtune.artifacts.training_context
    import kdtune.training.evaluation  # noqa: F401

    meter_of(session_id).join()  # last, because the meter is starting at the same time


def evaluate_chosen(
    study: Study, candidates: list[Candidate], resources: Resources, data: str, session_id: str
) -> list[EvaluatedModel]:
    """Evaluate the chosen models on the test set and save their weights.

    Returns:
        One result for each candidate whose last epoch has a readable checkpoint.
    """
    context = open_training_context(study, resources, data, session_id)
    _warm_up(context)
    results = []
    for candidate in candidates:
        with charged_window(session_id, resources, candidate.window, "evaluation"):
            if result := _evaluated(context, candidate):
                results.append(result)
    return results


def _warm_up(context: Any) -> None:
    """Do what a process does once (imports, kernels) before any window opens, so that no model is charged for it."""
    from kdtune.training.evaluation import evaluate

    evaluate(context.untrained_student(), context.splits.validation, context.arithmetic)


def _evaluated(context: Any, candidate: Candidate) -> EvaluatedModel | None:
    """Evaluate one model; return None if the checkpoint of its last epoch is missing or damaged."""
    import torch

    from kdtune.storage.files import replaced_atomically
    from kdtune.training.checkpoints import CheckpointFolder
    from kdtune.training.evaluation import classification_metrics, confusion_matrix, evaluate

    state = CheckpointFolder(Path(candidate.checkpoints)).load_latest()
    if state is None or state["epoch"] != candidate.epochs:
        return None  # an earlier epoch must not replace the last one
    test = context.splits.test
    found = evaluate(context.student(state["model"]), test, context.arithmetic)
    both = found.predictions, test.labels.cpu(), context.num_classes
    metrics, confusion = classification_metrics(*both), confusion_matrix(*both)
    with replaced_atomically(Path(candidate.weights)) as file:
        torch.save(dict(state["model"]), file)
    return EvaluatedModel(
        candidate.repeat,
        {**metrics, "accuracy": found.accuracy},
        found.predictions.numpy(),
        confusion.numpy(),
        context.arrays.class_names,
    )
