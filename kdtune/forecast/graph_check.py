"""Compares captured training steps with eager ones on the very device, before a study relies on them."""

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import count, islice

import torch

from kdtune.artifacts.workbench import Workbench
from kdtune.data.split_sizes import batch_sizes
from kdtune.specs.study import Numerics
from kdtune.specs.suggestion import Component, Suggestion
from kdtune.temperature import VARYING
from kdtune.training.captured_passes import CapturedLogits
from kdtune.training.distiller import Distiller
from kdtune.training.evaluation import BATCH_SIZE, evaluate
from kdtune.training.graphs import graph_maker
from kdtune.training.resolution import resolved_recipe
from kdtune.training.teacher_logits import LiveTeacher, ReplayedTeacher, TeacherLogits

#: Steps that are compared, and in how many an epoch of them ends: both graphs are replayed, and tables are refilled.
STEPS, STEPS_AN_EPOCH = 20, 10

#: By which fraction a step's loss may differ from the eager one, by precision: kernels may round in another order, and
#: the difference grows from step to step. A batch, a rate or a momentum that is not the step's own changes more.
TOLERANCE = {"float32": 0.01, "bfloat16": 0.05}


def loss_difference(bench: Workbench, way: Numerics, steps: int = STEPS) -> float:
    """The largest difference that capturing makes, as a fraction of what is computed eagerly.

    Compared are the losses of steps that begin with the same weights; then loss and predictions on the validation
    images, with the weights that captured steps led to; and, where they are replayed, the teacher's logits. Everything
    was recorded for another training or epoch, as in a worker that takes one trial after the other.

    Args:
        bench: Of the study.
        way: Captures its steps.
        steps: How many to compare.

    Returns:
        Not a number or infinite where something is not finite.
    """
    plain = _small_bench(bench, way.model_copy(update={"compile": "off"}))
    own = _small_bench(bench, way)
    eager, captured = _trained(plain, steps), _trained(own, steps)
    differences = [_difference(*losses) for losses in zip(captured.losses, eager.losses, strict=True)]
    distiller = captured.distiller
    known = evaluate(distiller.model, own.splits.validation, own.arithmetic)
    found = distiller.validate()
    differences.append(_difference(found.loss, known.loss))
    differences.append(float((found.predictions != known.predictions).double().mean()))
    if bench.study.teacher_logits == "replay":
        differences.append(_logits_difference(own))
    return max(differences, key=lambda one: math.inf if math.isnan(one) else one)


@dataclass(frozen=True)
class _Trained:
    distiller: Distiller
    losses: list[float]


def _difference(ours: float, eager: float) -> float:
    return abs(ours - eager) / abs(eager) if eager else math.inf


def _small_bench(bench: Workbench, way: Numerics) -> Workbench:
    """A bench with as many training images as :data:`STEPS_AN_EPOCH` steps take, the study's last one among them."""
    study = bench.study
    own = bench.sharing(study.model_copy(update={"numerics": way}))
    train = own.splits.train
    sizes = batch_sizes(len(train), study.training.batch_size)
    images = sum([*sizes[: STEPS_AN_EPOCH - 1], sizes[-1]][: len(sizes)])
    part = replace(train, images=train.images[:images], labels=train.labels[:images])
    own.splits = replace(own.splits, train=part)
    return own


def _trained(bench: Workbench, steps: int) -> _Trained:
    seed = bench.study.seed
    torch.manual_seed(seed)  # of the untrained teacher
    teacher = _teacher(bench)
    recipe = resolved_recipe(bench.study, Suggestion(temperature=Component(name=VARYING)))
    bench.training(recipe, seed + 1, teacher).warm_up()
    distiller = bench.training(recipe, seed, teacher)

    def losses() -> Iterator[torch.Tensor]:
        for distiller.epoch in count():
            yield from (loss.clone() for loss in distiller.steps())

    return _Trained(distiller, [float(loss) for loss in islice(losses(), steps)])


def _logits_difference(bench: Workbench) -> float:
    """Of captured passes of the teacher from eager ones, in the second epoch."""
    train, augment, seed = bench.splits.train, bench.study.training.augment, bench.study.seed
    teacher = bench.untrained_teacher()
    passes = CapturedLogits(teacher, train, BATCH_SIZE, bench.arithmetic, graph_maker(bench.device))
    passes.of_all(train.epoch_changes(augment, seed, 0))
    ours = passes.of_all(train.epoch_changes(augment, seed, 1))
    live = LiveTeacher(teacher, bench.arithmetic)
    parts = torch.arange(len(train), device=bench.device).split(BATCH_SIZE)
    eager = torch.cat([live(train.changed(index, augment, seed, 1), index) for index in parts])
    return float((ours - eager).abs().max() / eager.abs().max())


def _teacher(bench: Workbench) -> TeacherLogits:
    """A teacher that knows nothing; where its answers are replayed, other ones in every epoch."""
    if bench.study.teacher_logits != "replay":
        return bench.stand_in()

    def rows(epoch: int) -> torch.Tensor:
        generator = torch.Generator().manual_seed(epoch)
        return torch.randn(len(bench.splits.train), bench.num_classes, generator=generator)

    return ReplayedTeacher(rows, bench.device)
