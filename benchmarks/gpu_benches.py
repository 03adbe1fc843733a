"""Trainings that the GPU benchmarks time: CIFAR-100 or random images of its form, and teachers that know nothing."""

import itertools
from collections.abc import Iterator

import numpy as np
import torch

from kdtune.artifacts.workbench import Workbench
from kdtune.data.arrays import Arrays
from kdtune.specs import load_study
from kdtune.specs.study import Numerics, Study
from kdtune.specs.suggestion import Suggestion
from kdtune.training.distiller import Distiller
from kdtune.training.resolution import resolved_recipe
from kdtune.training.teacher_logits import ReplayedTeacher, TeacherLogits

#: Images of the synthetic data set, to train and to test; in a smoke test.
IMAGES, SMOKE_IMAGES = (50_000, 10_000), (400, 100)

#: Networks and batch of a smoke test.
SMOKE = ["teacher=convnet_32", "student=convnet_2_4_4", "training.batch_size=16", "teacher_training.batch_size=16"]

BATCH, SMOKE_BATCH = 128, 16


def study_of(*, smoke: bool) -> Study:
    """ResNet18 to MobileNetV2 on CIFAR-100; small networks in a smoke test."""
    return load_study("cifar100-hkd", overrides=SMOKE if smoke else [f"training.batch_size={BATCH}"])


def bench_of(study: Study, numerics: Numerics, mode: str, device: torch.device, *, synthetic: bool) -> Workbench:
    """A bench for one way of computing.

    Args:
        study: What is trained.
        numerics: How it is computed.
        mode: ``live`` or ``replay``.
        device: Where.
        synthetic: Whether to take random images in place of those on the disk.
    """
    chosen = study.model_copy(update={"numerics": numerics, "teacher_logits": mode})
    bench = Workbench(chosen, device, torch.get_num_threads())
    if synthetic:
        bench.arrays = random_images(IMAGES if study.student == "mobilenet_v2" else SMOKE_IMAGES)
    return bench


def random_images(counts: tuple[int, int]) -> Arrays:
    """Random images of CIFAR-100's form. Zeros would take less power, and may take less time."""
    random = np.random.default_rng(0)
    images, labels = [], []
    for count in counts:
        images.append(random.integers(0, 256, (count, 3, 32, 32), dtype=np.uint8))
        labels.append(np.arange(count) % 100)
    return Arrays(images[0], labels[0], images[1], labels[1])


def training_of(bench: Workbench, seed: int = 0) -> Distiller:
    """A stochastic training whose teacher is not trained, which takes as long."""
    recipe = resolved_recipe(bench.study, Suggestion.from_point({"temperature": "stochastic"}))
    return bench.training(recipe, seed, _teacher(bench))


def _teacher(bench: Workbench) -> TeacherLogits:
    if bench.study.teacher_logits == "live":
        return bench.stand_in()
    generator = torch.Generator().manual_seed(0)
    rows = torch.randn(len(bench.splits.train), bench.num_classes, generator=generator).half().to(bench.device)
    return ReplayedTeacher(lambda epoch: rows, bench.device)


def endless_steps(distiller: Distiller) -> Iterator[torch.Tensor]:
    """The steps of its first epoch, again and again; each gives its loss."""
    return itertools.chain.from_iterable(distiller.steps() for _ in itertools.count())
