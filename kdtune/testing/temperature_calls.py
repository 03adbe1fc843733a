"""Makes temperatures and asks them for values as a training does, for their conformance suite."""

from typing import Any

import torch
from pydantic import BaseModel

from kdtune.catalog.builtin import TEMPERATURES
from kdtune.specs.component import Component
from kdtune.specs.search_space import SearchSpace
from kdtune.temperature.base import PolicyContext, Temperature, TemperaturePolicy
from kdtune.testing.logits import BATCH, CLASSES, labels_of

#: Steps of an epoch, and epochs of the training.
STEPS, EPOCHS = 12, 5

#: The search space of the study, from which options take what they leave open.
SPACE = SearchSpace.model_validate({"tau": {"low": 2, "high": 20, "step": 1}})

#: The logits of student and teacher in every step.
LOGITS = torch.arange(20.0).reshape(BATCH, CLASSES), torch.arange(20.0).flip(0).reshape(BATCH, CLASSES)

CPU = torch.device("cpu")


def resolved_options(temperature: Component) -> tuple[type[TemperaturePolicy], BaseModel]:
    """Return the class and its options, in which nothing is left open."""
    kind: type[TemperaturePolicy] = TEMPERATURES.load(temperature.name)
    return kind, kind.resolved(kind.Options.model_validate(temperature.options), SPACE)


def made(
    temperature: Component, seed: int = 0, epochs: int = EPOCHS, batch_size: int = BATCH, device: torch.device = CPU
) -> TemperaturePolicy:
    """Return a temperature as a training makes it."""
    kind, options = resolved_options(temperature)
    return kind(options, PolicyContext(seed, device, epochs, batch_size))


def called(policy: TemperaturePolicy, student: torch.Tensor, teacher: torch.Tensor, step: int) -> Temperature:
    """Return the temperature of a step, as a training asks for it."""
    return policy.of_step(student, teacher, labels_of(student).to(student.device), step)


def epoch_of(policy: TemperaturePolicy, epoch: int = 0, steps: int = STEPS) -> list[Temperature]:
    """Return the temperatures of all steps of an epoch."""
    policy.begin_epoch(epoch, steps)
    return [called(policy, *LOGITS, step) for step in range(steps)]


def values(temperatures: list[Temperature]) -> list[Any]:
    """Return the numbers of some temperatures, which are compared to the bit."""
    return [(one.student.tolist(), one.teacher.tolist(), one.weight.tolist()) for one in temperatures]


def check_shapes(found: Temperature, images: int) -> None:
    """Raise an AssertionError unless tau and weight are tensors for a batch of this size, or one for all of it."""
    for name, allowed in (
        ("student", [(), (images, 1)]),
        ("teacher", [(), (images, 1)]),
        ("weight", [(), (images,)]),
    ):
        field = getattr(found, name)
        assert isinstance(field, torch.Tensor), f"{name} has to be a tensor, but is a {type(field).__name__}"
        assert tuple(field.shape) in allowed, (
            f"{name} has the shape {tuple(field.shape)} for a batch of {images}; allowed are 0-d and {allowed[1]}"
        )


def check_values(found: Temperature, where: str) -> None:
    """Raise an AssertionError unless tau is finite and above 0, the weight finite and not negative, all float32."""
    for name in ("student", "teacher", "weight"):
        field = getattr(found, name)
        assert field.dtype == torch.float32, f"{where}: {name} has to be float32, but is {field.dtype}"
        assert bool(field.isfinite().all()), f"{where}: {name} has to be finite, but is {field.tolist()}"
        assert name == "weight" or bool((field > 0).all()), f"{where}: {name} has to be above 0: {field.tolist()}"
    assert bool((found.weight >= 0).all()), f"{where}: the weight must not be negative: {found.weight.tolist()}"
