"""Small trainings on the CPU, in which temperatures and losses are tested: resumed, captured and with kept logits."""

from collections.abc import Callable
from functools import cache
from typing import NamedTuple

import numpy as np
import pytest
import torch

from kdtune.catalog.builtin import MODELS
from kdtune.data.arrays import Arrays
from kdtune.data.batches import Splits
from kdtune.specs import load_study
from kdtune.specs.study import Study
from kdtune.specs.suggestion import Suggestion
from kdtune.tasks.classification.task import Classification
from kdtune.training.captured_steps import CapturedSteps
from kdtune.training.distiller import Distiller
from kdtune.training.epoch_metrics import EpochMetrics
from kdtune.training.numerics import Arithmetic
from kdtune.training.resolution import resolved_recipe
from kdtune.training.teacher_logits import LiveTeacher, ReplayedTeacher

CPU = torch.device("cpu")
CLASSES = 3
TASK = Classification(CLASSES)

TRAINING = {"epochs": 3, "batch_size": 32, "learning_rate": 0.05, "weight_decay": 5e-4, "milestones": [2]}


@cache
def small_splits() -> Splits:
    """Return 56 training and 24 validation images of noise, in which a bright row marks the class."""
    random = np.random.default_rng(0)
    labels = np.arange(80) % CLASSES
    images = random.integers(0, 100, (80, 1, 8, 8))
    for image, label in zip(images, labels, strict=True):
        image[0, 2 * label : 2 * label + 2] += 150
    images = images.astype(np.uint8)
    return Splits.of(Arrays(images, labels, images[:9], labels[:9]), 24, 0, CPU)


@cache
def small_teacher() -> torch.nn.Module:
    """Return an untrained teacher whose logits are large enough for tau to have an effect."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        model: torch.nn.Module = MODELS.load("convnet_32")(1, CLASSES)
    with torch.no_grad():
        model.classifier.weight.mul_(20)  # type: ignore[operator, union-attr]
    return model.eval().requires_grad_(False)


@cache
def small_study() -> Study:
    """Return a study of three short epochs."""
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


def _trained(distiller: Distiller) -> list[EpochMetrics]:
    return [distiller.train_epoch() for _ in range(distiller.epoch, distiller.recipe.training.epochs)]


class _Undisturbed(NamedTuple):
    """What a training came to that was not interrupted, and whose steps were taken one by one."""

    metrics: list[EpochMetrics]
    weights: dict[str, torch.Tensor]


#: The undisturbed trainings by suite and suggestion, since each is compared with several others.
_undisturbed: dict[tuple[type, str], _Undisturbed] = {}


def _assert_same(trained: Distiller, found: list[EpochMetrics], expected: _Undisturbed, problem: str) -> None:
    metrics = expected.metrics[-len(found) :]
    assert found == metrics, f"{problem}: {found}, {metrics}"
    weights = trained.model.state_dict()
    assert all(torch.equal(weights[name], expected.weights[name]) for name in weights), f"{problem}: the weights differ"


class TrainingConformance:
    """Tests of a training under a temperature or loss; a suite defines the fixture ``suggestion``."""

    @pytest.fixture
    def training(self, suggestion: Suggestion) -> Callable[..., Distiller]:
        """A function that makes the training: ``captures`` captures its steps, ``rows`` are logits to replay."""

        def make(captures: CapturedSteps | None = None, rows: Callable[[int], torch.Tensor] | None = None) -> Distiller:
            live = LiveTeacher(small_teacher(), Arithmetic(CPU))
            asked = live if rows is None else ReplayedTeacher(rows, CPU)
            recipe = resolved_recipe(small_study(), suggestion)
            return Distiller(recipe, 0, TASK, small_splits(), CPU, asked, captures=captures)

        return make

    @pytest.fixture
    def undisturbed(self, suggestion: Suggestion, training: Callable[..., Distiller]) -> _Undisturbed:
        """What the training comes to without an interruption."""
        key = type(self), suggestion.model_dump_json()
        if key not in _undisturbed:
            whole = training()
            _undisturbed[key] = _Undisturbed(_trained(whole), whole.model.state_dict())
        return _undisturbed[key]

    def test_a_resumed_training_equals_an_undisturbed_one_to_the_bit(
        self, training: Callable[..., Distiller], undisturbed: _Undisturbed
    ) -> None:
        """A training that goes on from a checkpoint has the metrics and weights of one that was never interrupted."""
        interrupted, resumed = training(), training()
        interrupted.train_epoch()
        resumed.load_state_dict(interrupted.state_dict())
        problem = "a training resumed after its first epoch differs from an undisturbed one"
        _assert_same(resumed, _trained(resumed), undisturbed, problem)

    def test_a_captured_training_equals_the_eager_one_to_the_bit(
        self, training: Callable[..., Distiller], undisturbed: _Undisturbed
    ) -> None:
        """A training whose steps are captured has the metrics and weights of one whose steps are taken one by one."""
        captured = training(CapturedSteps(CPU))
        problem = "a training with captured steps differs from one with eager steps"
        _assert_same(captured, _trained(captured), undisturbed, problem)

    def test_replayed_logits_train_what_those_of_the_teacher_do(
        self, training: Callable[..., Distiller], undisturbed: _Undisturbed
    ) -> None:
        """With the teacher's logits kept from an earlier pass, a training differs by rounding alone."""
        images = small_splits().train
        with torch.no_grad():
            rows = small_teacher()(images.normalised(torch.arange(len(images))))
        replayed = training(rows=lambda epoch: rows)
        for found, expected in zip(_trained(replayed), undisturbed.metrics, strict=True):
            for name in ("tau", "train_loss"):
                kept_and_live = getattr(found, name), getattr(expected, name)
                assert kept_and_live == (None, None) or kept_and_live[0] == pytest.approx(kept_and_live[1], rel=1e-3), (
                    f"{name} differs between a training with kept and with live logits: {kept_and_live}"
                )
