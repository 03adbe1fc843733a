"""Compares captured training steps with eager ones on the very device, before a study relies on them."""

import math
from collections.abc import Iterator
from dataclasses import replace
from itertools import count, islice

import torch

from kdtune.data.sizes import batch_sizes
from kdtune.distill.recipe import student_recipe
from kdtune.distill.teacher_logits import ReplayedTeacher, TeacherLogits
from kdtune.distill.workbench import Workbench
from kdtune.specs.study import Numerics

#: Steps that are compared, and in how many an epoch of them ends: both graphs are replayed, and tables are refilled.
STEPS, STEPS_AN_EPOCH = 20, 10

#: By which fraction a step's loss may differ from the eager one, by precision: kernels may round in another order, and
#: the difference grows from step to step. A batch, a rate or a momentum that is not the step's own changes more.
TOLERANCE = {"float32": 0.01, "bfloat16": 0.05}


def loss_difference(bench: Workbench, way: Numerics, steps: int = STEPS) -> float:
    """The largest difference between the losses of captured and of eager steps, as a fraction of the eager loss.

    Both begin with the same weights. The captured step was recorded for an earlier training with another seed, as in a
    worker that takes one trial after the other.

    Args:
        bench: Of the study.
        way: Captures its steps.
        steps: How many to compare.

    Returns:
        Not a number or infinite where a loss is not finite.
    """
    eager, captured = (_losses(bench, one, steps) for one in (way.model_copy(update={"compile": "off"}), way))
    differences = [
        abs(ours - plain) / abs(plain) if plain else math.inf for plain, ours in zip(eager, captured, strict=True)
    ]
    return max(differences, key=lambda one: math.inf if math.isnan(one) else one)


def _losses(bench: Workbench, way: Numerics, steps: int) -> list[float]:
    study = bench.study
    own = bench.sharing(study.model_copy(update={"numerics": way}))
    sizes = batch_sizes(len(own.splits.train), study.training.batch_size)
    images = sum([*sizes[: STEPS_AN_EPOCH - 1], sizes[-1]][: len(sizes)])
    train = own.splits.train
    part = replace(train, images=train.images[:images], labels=train.labels[:images])
    own.splits = replace(own.splits, train=part)
    torch.manual_seed(study.seed)  # of the untrained teacher
    teacher = _teacher(own)
    recipe = student_recipe(own.study, {"temperature": "stochastic"})
    own.training(recipe, study.seed + 1, teacher).warm_up()
    distiller = own.training(recipe, study.seed, teacher)

    def losses() -> Iterator[torch.Tensor]:
        for distiller.epoch in count():
            yield from (loss.clone() for loss in distiller.steps())

    return [float(loss) for loss in islice(losses(), steps)]


def _teacher(bench: Workbench) -> TeacherLogits:
    """A teacher that knows nothing; where its answers are replayed, other ones in every epoch."""
    if bench.study.teacher_logits != "replay":
        return bench.stand_in()

    def rows(epoch: int) -> torch.Tensor:
        generator = torch.Generator().manual_seed(epoch)
        return torch.randn(len(bench.splits.train), bench.num_classes, generator=generator)

    return ReplayedTeacher(rows, bench.device)
