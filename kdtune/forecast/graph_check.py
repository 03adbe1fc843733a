"""Comparison of captured training steps (CUDA graphs) with eager ones on the device of a study.

A study uses captured steps only if they compute the same losses there.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import count, islice

import torch

from kdtune.artifacts.shared_code import code_found
from kdtune.artifacts.training_context import TrainingContext
from kdtune.catalog.builtin import VARYING_TEMPERATURE
from kdtune.specs.component import Component
from kdtune.specs.numerics import Numerics
from kdtune.specs.split_sizes import batch_sizes
from kdtune.specs.suggestion import Suggestion
from kdtune.training.captured_passes import CapturedLogits
from kdtune.training.cuda_graphs import graph_maker
from kdtune.training.distiller import Distiller
from kdtune.training.resolution import resolved_recipe
from kdtune.training.teacher_logits import LiveTeacher, ReplayedTeacher, TeacherLogits

#: Number of steps that are compared, and steps in an epoch. With two epochs, graphs are replayed and tables refilled;
#: each epoch ends with the study's last batch, which may have another size and then has a graph of its own.
STEPS, STEPS_PER_EPOCH = 20, 10

#: Allowed relative difference between the losses of a captured and an eager step, by precision. Kernels may round in
#: another order, and the difference grows from step to step. A wrong batch, learning rate or momentum changes more.
TOLERANCE = {"float32": 0.01, "bfloat16": 0.05}


def loss_difference(context: TrainingContext, numerics: Numerics, steps: int = STEPS) -> float:
    """Return the largest relative difference between captured and eager computation.

    Three things are compared: the losses of steps that start from the same weights; loss and predictions on the
    validation images, with the weights that the captured steps produced; and the teacher's logits, if they are
    replayed. All graphs are captured in another training or epoch than the one that is compared, as in a worker that
    runs several trials.

    Args:
        context: The study's training context.
        numerics: Numerics that capture steps.
        steps: Number of steps to compare.

    Returns:
        The difference as a fraction of the eager value; NaN or infinite if a value is not finite.
    """
    eager_context = _small_context(context, numerics.model_copy(update={"compile": "off"}))
    captured_context = _small_context(context, numerics)
    eager, captured = _train(eager_context, steps), _train(captured_context, steps)
    differences = [_difference(*losses) for losses in zip(captured.losses, eager.losses, strict=True)]
    distiller = captured.distiller
    known = context.task.evaluate(distiller.model, captured_context.splits.validation, captured_context.arithmetic)
    found = distiller.validate()
    differences.append(_difference(found.loss, known.loss))
    differences.append(context.task.disagreement(found.predictions, known.predictions))
    if context.study.teacher_logits == "replay":
        differences.append(_logits_difference(captured_context))
    return max(differences, key=lambda one: math.inf if math.isnan(one) else one)


@dataclass(frozen=True)
class _Trained:
    """A distiller after some steps, and their losses."""

    distiller: Distiller
    losses: list[float]


def _difference(captured: float, eager: float) -> float:
    return abs(captured - eager) / abs(eager) if eager else math.inf


def _small_context(context: TrainingContext, numerics: Numerics) -> TrainingContext:
    """Return a training context with the images of :data:`STEPS_PER_EPOCH` steps, the study's last one among them."""
    study = context.study
    own = context.with_study(study.model_copy(update={"numerics": numerics}))
    train = own.splits.train
    sizes = batch_sizes(len(train), study.training.batch_size)
    images = sum([*sizes[: STEPS_PER_EPOCH - 1], sizes[-1]][: len(sizes)])
    own.splits = replace(own.splits, train=train.first(images))
    return own


def _train(context: TrainingContext, steps: int) -> _Trained:
    """Warm up a training with another seed, then take steps of a training with the study's seed."""
    seed = context.study.seed
    torch.manual_seed(seed)  # for the weights of the untrained teacher
    teacher = _teacher(context)
    recipe = resolved_recipe(context.study, Suggestion(temperature=Component(name=VARYING_TEMPERATURE)))
    with code_found(context, recipe):
        context.training(recipe, seed + 1, teacher).warm_up()
    distiller = context.training(recipe, seed, teacher)

    def losses() -> Iterator[torch.Tensor]:
        for distiller.epoch in count():
            yield from (loss.clone() for loss in distiller.steps())

    return _Trained(distiller, [float(loss) for loss in islice(losses(), steps)])


def _logits_difference(context: TrainingContext) -> float:
    """Return the relative difference between the teacher's captured and eager logits, in the second epoch."""
    train, augment, seed = context.splits.train, context.study.training.augment, context.study.seed
    teacher = context.untrained_teacher()
    passes = CapturedLogits(teacher, train, train.pass_size, context.arithmetic, graph_maker(context.device))
    passes.of_all(train.epoch_changes(augment, seed, 0))
    captured = passes.of_all(train.epoch_changes(augment, seed, 1))
    live = LiveTeacher(teacher, context.arithmetic)
    parts = torch.arange(len(train), device=context.device).split(train.pass_size)
    eager = torch.cat([live(train.changed(index, augment, seed, 1), index) for index in parts])
    return float((captured - eager).abs().max() / eager.abs().max())


def _teacher(context: TrainingContext) -> TeacherLogits:
    """Return an untrained teacher; if the study replays logits, one with random logits that differ in every epoch."""
    if context.study.teacher_logits != "replay":
        return context.untrained_teacher_logits()

    def rows(epoch: int) -> torch.Tensor:
        generator = torch.Generator().manual_seed(epoch)
        return torch.randn(len(context.splits.train), context.task.output_size, generator=generator)

    return ReplayedTeacher(rows, context.device)
