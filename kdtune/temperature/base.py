"""The protocol of temperature policies: what decides tau inside one training."""

from dataclasses import dataclass
from typing import Any

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
    def same(cls, tau: torch.Tensor) -> "Temperature":
        """One tau for both networks, weighed by its square."""
        return cls(student=tau, teacher=tau, weight=(tau * tau).flatten() if tau.ndim else tau * tau)


class TemperaturePolicy:
    """Decides tau for each step.

    Tau is a tensor throughout: a Python number would make a compiled training step compile again for every
    new value, and reading one back would stop the device.
    """

    def begin_epoch(self, epoch: int, steps: int) -> None:
        """Prepare for an epoch (counted from 0) of so many steps."""

    def __call__(self, student_logits: torch.Tensor, teacher_logits: torch.Tensor, step: int) -> Temperature:
        """Tau for one step of the epoch, counted from 0; both logits have the shape (batch, classes)."""
        raise NotImplementedError

    def epoch_tau(self) -> float | None:
        """The mean tau of the epoch that has just ended, for the log; None where there is no such thing."""
        return None

    def state_dict(self) -> dict[str, Any]:
        """What a checkpoint needs to go on exactly."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from :meth:`state_dict`."""
