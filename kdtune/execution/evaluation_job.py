"""The job that evaluates the chosen models on the test set, in a worker."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kdtune.execution.meter_handle import meter_of
from kdtune.execution.worker_jobs import charged_window, open_training_context
from kdtune.planning.resources import Resources
from kdtune.specs.study import Study
from kdtune.specs.trial_spec import Recipe
from kdtune.tasks.task import Metrics


@dataclass(frozen=True)
class Candidate:
    """The chosen model of one repeat, before it is evaluated on the test set.

    Attributes:
        repeat: Number of the repeat, counted from 0.
        window: Window to which the evaluation is charged.
        checkpoints: Folder of the chosen trial's checkpoints.
        epochs: Number of epochs of its training.
        weights: File for the student's weights.
        recipe: Recipe of its training.
        start: File with the weights of the float student that was quantised; None for a float training.
    """

    repeat: int
    window: str
    checkpoints: str
    epochs: int
    weights: str
    recipe: Recipe
    start: str | None = None


@dataclass(frozen=True)
class EvaluatedModel:
    """A chosen model's result on the test set.

    Attributes:
        repeat: Number of the repeat, counted from 0.
        metrics: Metrics by name; see :meth:`kdtune.tasks.task.Task.test_metrics`.
        predictions: Array with a row for each test image; of a classifier the predicted classes.
        documents: Text of CSV files and bytes of PNG files by name; see :meth:`kdtune.tasks.task.Task.documents`.
        probabilities: Array of float16 with a row for each test image; None if the task has no probabilities.
        labels: Array of the true classes; None likewise.
        deployment: Facts about the form in which the model is used; None for a float network.
    """

    repeat: int
    metrics: Metrics
    predictions: Any
    documents: Mapping[str, str | bytes]
    probabilities: Any = None
    labels: Any = None
    deployment: dict[str, Any] | None = None


def prepare_evaluation(session_id: str) -> None:
    """Import what :func:`evaluate_chosen` uses, so that the next job in this worker starts faster."""
    import kdtune.artifacts.training_context  # noqa: F401

    meter_of(session_id).join()  # last, because the meter is starting at the same time


def evaluate_chosen(
    study: Study, candidates: list[Candidate], resources: Resources, data: str, session_id: str
) -> list[EvaluatedModel]:
    """Evaluate the chosen models on the test set and save their weights.

    Returns:
        One result for each candidate whose last epoch has a readable checkpoint.
    """
    seeds, results = study.seeds(), []
    context = open_training_context(study.of_repeat(seeds[candidates[0].repeat]), resources, data, session_id)
    _warm_up(context)
    for candidate in candidates:
        context = context.of_repeat(study.of_repeat(seeds[candidate.repeat]))
        with charged_window(session_id, resources, candidate.window, "evaluation"):
            if result := _evaluated(context, candidate):
                results.append(result)
    return results


def _warm_up(context: Any) -> None:
    """Do what a process does once (imports, kernels) before any window opens, so that no model is charged for it."""
    context.task.evaluate(context.untrained_student(), context.splits.validation, context.arithmetic)


def _evaluated(context: Any, candidate: Candidate) -> EvaluatedModel | None:
    """Evaluate one model; return None if the checkpoint of its last epoch is missing or damaged."""
    from kdtune.training.checkpoints import CheckpointFolder

    state = CheckpointFolder(Path(candidate.checkpoints)).load_latest()
    if state is None or state["epoch"] != candidate.epochs:
        return None  # an earlier epoch must not replace the last one
    task, test = context.task, context.splits.test
    student = _finished(context, candidate, state["model"])
    tested = task.evaluate(student.model, test, student.arithmetic, keep_probabilities=True)
    metrics = {**task.test_metrics(tested.predictions, test), **task.calibration(tested, test)}
    documents = task.documents(tested.predictions, test, context.arrays.class_names)
    student.write(Path(candidate.weights))
    deployment = student.deployment(task, test)
    probabilities = None if tested.probabilities is None else tested.probabilities.half().numpy()
    labels = None if probabilities is None else test.labels.cpu().numpy()
    found = tested.predictions.numpy()
    return EvaluatedModel(candidate.repeat, metrics, found, documents, probabilities, labels, deployment)


def _finished(context: Any, candidate: Candidate, state: Any) -> Any:
    """Return the student that a training led to."""
    import torch

    from kdtune.training.finished_student import FinishedStudent

    if candidate.start is None:
        return FinishedStudent(context.student(state), context.arithmetic, state)
    from kdtune.quantisation.finished import QuantisedStudent

    start = torch.load(candidate.start, map_location="cpu", weights_only=True)
    shape = context.splits.train.images.shape[1:]
    return QuantisedStudent(candidate.recipe, context.task, shape, context.device, start, state)
