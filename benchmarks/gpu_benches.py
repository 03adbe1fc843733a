"""Trainings that the GPU benchmarks time: on CIFAR-100 or random images of its shape, with untrained teachers."""

import itertools
from collections.abc import Iterator

import numpy as np
import torch

from kdtune.artifacts.training_context import TrainingContext
from kdtune.data.arrays import Arrays
from kdtune.specs import load_study
from kdtune.specs.numerics import Numerics
from kdtune.specs.study import Study
from kdtune.specs.suggestion import Suggestion
from kdtune.training.distiller import Distiller
from kdtune.training.resolution import resolved_recipe
from kdtune.training.teacher_logits import ReplayedTeacher, TeacherLogits

#: Training and test images of the synthetic data set, in general and in a smoke test.
IMAGES, SMOKE_IMAGES = (50_000, 10_000), (400, 100)

#: Networks and batch size of a smoke test.
SMOKE = ["teacher=convnet_32", "student=convnet_2_4_4", "training.batch_size=16", "teacher_training.batch_size=16"]

BATCH, SMOKE_BATCH = 128, 16


def study_of(*, smoke: bool) -> Study:
    """Return a study of ResNet18 and MobileNetV2 on CIFAR-100, or of small networks for a smoke test."""
    return load_study("cifar100-hkd", overrides=SMOKE if smoke else [f"training.batch_size={BATCH}"])


def context_of(
    study: Study, numerics: Numerics, mode: str, device: torch.device, *, synthetic: bool
) -> TrainingContext:
    """Return a training context with given numerics and logit mode.

    Args:
        study: The study.
        numerics: Resolved numerics.
        mode: Logit mode, ``live`` or ``replay``.
        device: Device of the trainings.
        synthetic: Whether to use random images instead of those on the disk.
    """
    chosen = study.model_copy(update={"numerics": numerics, "teacher_logits": mode})
    context = TrainingContext(chosen, device, torch.get_num_threads())
    if synthetic:
        context.arrays = random_images(IMAGES if study.student.name == "mobilenet_v2" else SMOKE_IMAGES)
    return context


def random_images(counts: tuple[int, int]) -> Arrays:
    """Return random images of CIFAR-100's shape.

    Zeros would not do: computing with them takes less power and possibly less time.

    Args:
        counts: Numbers of training and test images.
    """
    random = np.random.default_rng(0)
    images, labels = [], []
    for count in counts:
        images.append(random.integers(0, 256, (count, 3, 32, 32), dtype=np.uint8))
        labels.append(np.arange(count) % 100)
    return Arrays(images[0], labels[0], images[1], labels[1])


def training_of(context: TrainingContext, seed: int = 0) -> Distiller:
    """Return a training with a stochastic temperature and an untrained teacher, whose weights do not matter here."""
    recipe = resolved_recipe(context.study, Suggestion.from_point({"temperature": "stochastic"}))
    return context.training(recipe, seed, _teacher(context))


def _teacher(context: TrainingContext) -> TeacherLogits:
    if context.study.teacher_logits == "live":
        return context.untrained_teacher_logits()
    generator = torch.Generator().manual_seed(0)
    rows = (
        torch.randn(len(context.splits.train), context.task.output_size, generator=generator).half().to(context.device)
    )
    return ReplayedTeacher(lambda epoch: rows, context.device)


def endless_steps(distiller: Distiller) -> Iterator[torch.Tensor]:
    """Repeat the steps of a training's first epoch without end, yielding the loss of each."""
    return itertools.chain.from_iterable(distiller.steps() for _ in itertools.count())
