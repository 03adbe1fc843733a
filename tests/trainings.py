"""Fixtures: a small data set of noise, networks for it, and their trainings."""

import pytest

from kdtune.specs.numerics import PLAIN
from kdtune.testing.trainings import CLASSES, CPU, TASK, small_splits, small_study, small_teacher
from kdtune.training.distiller import Distiller
from kdtune.training.numerics import Arithmetic
from kdtune.training.teacher_logits import LiveTeacher, ReplayedTeacher
from tests.recipes import recipe_of

__all__ = ["CLASSES", "CPU", "TASK", "distiller", "splits", "study", "teacher", "training"]


@pytest.fixture(scope="session")
def splits():
    return small_splits()


@pytest.fixture(scope="session")
def teacher():
    return small_teacher()


@pytest.fixture(scope="session")
def study():
    return small_study()


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
