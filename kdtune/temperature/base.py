"""The protocol of temperature policies: what decides tau inside one training.

Plans validate the options of policies, and plans are made without torch: a policy's file imports it where it is used.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import BaseModel

from kdtune.specs.search_space import SearchSpace

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class Temperature:
    """The softness of one step.

    Attributes:
        student: Divides the student's logits: a 0-d tensor, or (batch, 1) for one tau an image.
        teacher: Divides the teacher's logits, of the same form.
        weight: Weighs the distillation term: 0-d, or (batch,). tau^2 in Hinton's form, which keeps the size of
            the gradient independent of tau.
    """

    student: torch.Tensor
    teacher: torch.Tensor
    weight: torch.Tensor

    @classmethod
    def same(cls, tau: torch.Tensor) -> Temperature:
        """One tau for both networks, weighed by its square."""
        return cls(student=tau, teacher=tau, weight=(tau * tau).flatten() if tau.ndim else tau * tau)

    @classmethod
    def of_steps(cls, taus: torch.Tensor) -> Temperature:
        """The temperatures of many steps, each field with a first dimension for the steps.

        Args:
            taus: (steps,), or (steps, images) where each image has its own.
        """
        softness = taus if taus.ndim == 1 else taus.unsqueeze(-1)
        return cls(student=softness, teacher=softness, weight=taus * taus)

    def at(self, step: torch.Tensor, size: int) -> Temperature:
        """The temperature of one of many steps, chosen on the device.

        Args:
            step: Its number, int64, (1,).
            size: Images in it.
        """
        chosen = (field.index_select(0, step)[0] for field in (self.student, self.teacher, self.weight))
        return Temperature(*(field[:size] if field.ndim else field for field in chosen))


@dataclass(frozen=True)
class PolicyContext:
    """What a policy may know of the training in which it decides tau.

    Attributes:
        seed: Of the training; a policy draws from a generator of its own.
        device: On which the training runs.
        epochs: Of the training.
        batch_size: Images in its largest step.
    """

    seed: int
    device: torch.device
    epochs: int
    batch_size: int


class TemperaturePolicy:
    """Decides tau for each step.

    Tau is a tensor throughout: a Python number would make a compiled training step compile again for every
    new value, and reading one back would stop the device.

    A policy with other ``Options`` names some examples in their JSON schema
    (``json_schema_extra={"examples": [...]}``), with which the tests of all policies run.

    Attributes:
        Options: Model of the policy's options. An option with the name of a searched value takes that value.
        depends_on_logits: Whether tau depends on what the networks answer. Where it does not, :meth:`scheduled` gives
            the whole epoch's values, and a step can be captured as a graph.
    """

    Options: ClassVar[type[BaseModel]]

    depends_on_logits: bool = True

    @classmethod
    def resolved(cls, options: BaseModel, space: SearchSpace) -> BaseModel:
        """Options in which nothing is left open that the study's search space decides.

        Args:
            options: An instance of ``Options``.
            space: Of the study.
        """
        return options

    def __init__(self, options: BaseModel, context: PolicyContext) -> None:
        """Prepare for a training.

        Args:
            options: An instance of ``Options``, resolved.
            context: Of the training.
        """

    def begin_epoch(self, epoch: int, steps: int) -> None:
        """Prepare for an epoch (counted from 0) of so many steps."""

    def __call__(self, student_logits: torch.Tensor, teacher_logits: torch.Tensor, step: int) -> Temperature:
        """Tau for one step of the epoch, counted from 0; both logits have the shape (batch, classes)."""
        raise NotImplementedError

    def scheduled(self, sizes: Sequence[int]) -> Temperature:
        """The temperatures of all steps of the present epoch, equal to what a call gives for each of them.

        Args:
            sizes: Images in each step.

        Returns:
            Made by :meth:`Temperature.of_steps`.
        """
        raise NotImplementedError

    def epoch_tau(self) -> float | None:
        """The mean tau of the epoch that has just ended, for the log; None where there is no such thing."""
        return None

    def state_dict(self) -> dict[str, Any]:
        """What a checkpoint needs to go on exactly."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from :meth:`state_dict`."""
