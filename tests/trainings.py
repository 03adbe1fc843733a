"""Fixtures: a small data set of noise, networks for it, and their trainings."""

import numpy as np
import pytest
import torch

from kdtune.catalog.builtin import MODELS
from kdtune.data.arrays import Arrays
from kdtune.data.batches import Splits
from kdtune.specs import load_study
from kdtune.specs.numerics import PLAIN
from kdtune.tasks.classification.task import Classification
from kdtune.training.distiller import Distiller
from kdtune.training.numerics import Arithmetic
from kdtune.training.teacher_logits import LiveTeacher, ReplayedTeacher
from tests.recipes import recipe_of

CPU = torch.device("cpu")
CLASSES = 3
TASK = Classification(CLASSES)

TRAINING = {"epochs": 3, "batch_size": 16, "learning_rate": 0.05, "weight_decay": 5e-4, "milestones": [2]}


@pytest.fixture(scope="session")
def splits():
    """Return 56 training and 24 validation images of noise, in which a bright row marks the class."""
    random = np.random.default_rng(0)
    labels = np.arange(80) % CLASSES
    images = random.integers(0, 100, (80, 1, 8, 8))
    for image, label in zip(images, labels, strict=True):
        image[0, 2 * label : 2 * label + 2] += 150
    images = images.astype(np.uint8)
    return Splits.of(Arrays(images, labels, images[:9], labels[:9]), 24, 0, CPU)


@pytest.fixture(scope="session")
def teacher():
    """Return an untrained teacher whose logits are large enough for tau to have an effect."""
    torch.manual_seed(1)
    model = MODELS.load("convnet_32")(1, CLASSES)
    with torch.no_grad():
        model.classifier.weight.mul_(20)
    return model.eval().requires_grad_(False)


@pytest.fixture(scope="session")
def study():
    return load_study(
        {
            "dataset": "digits",
            "teacher": "convnet_32",
            "student": "convnet_2_4_4",
            "loss": "hkd",
            "search_space": {"tau": {"low": 2, "high": 20, "step": 1}},
            "training": TRAINING,
            "teacher_training": TRAINING,
            "strategies": {"grid": {}},
        }
    )


@pytest.fixture
def distiller(study, splits, teacher):
    """Return a function that creates a training at one point; keywords replace values of the study's training."""

    def make(point, seed=0, **training):
        changed = study.model_copy(update={"training": study.training.model_copy(update=training)})
        asked = LiveTeacher(teacher, Arithmetic(CPU))
        return Distiller(recipe_of(changed, point), seed, TASK, splits, CPU, asked)

    return make


@pytest.fixture
def training(study, splits, teacher):
    """Return a function that creates a training, captured if ``captures`` is given; ``rows`` are replayed logits."""

    def make(point, captures=None, seed=0, rows=None, numerics=PLAIN, **changes):
        changed = study.model_copy(update={"training": study.training.model_copy(update=changes)})
        arithmetic = Arithmetic(CPU, numerics)
        asked = live if rows is None else ReplayedTeacher(rows, CPU)
        return Distiller(recipe_of(changed, point), seed, TASK, splits, CPU, asked, arithmetic, captures=captures)

    live = LiveTeacher(teacher, Arithmetic(CPU))
    return make
