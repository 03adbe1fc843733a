"""Base class of temperatures that are the same in all steps of an epoch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from kdtune.temperature.base import PolicyContext, Temperature, TemperaturePolicy

if TYPE_CHECKING:
    import torch
    from pydantic import BaseModel


class OnePerEpoch(TemperaturePolicy):
    """Uses one tau for all steps of an epoch; a subclass implements :meth:`tau_of`."""

    depends_on_logits = False

    def __init__(self, options: BaseModel, context: PolicyContext) -> None:
        """Keep what the policy knows of the training."""
        self.context = context

    def tau_of(self, epoch: int) -> float:
        """Return the tau of an epoch, counted from 0."""
        raise NotImplementedError

    def begin_epoch(self, epoch: int, steps: int) -> None:
        """Compute the epoch's tau."""
        import torch

        self._tau = self.tau_of(epoch)
        # The device fills it: a copy from the host would wait for the queued work.
        self._temperature = Temperature.same(torch.full((), self._tau, device=self.context.device))

    def __call__(self, student_logits: torch.Tensor, teacher_logits: torch.Tensor, step: int) -> Temperature:
        """Return the epoch's tau."""
        return self._temperature

    def scheduled(self, sizes: Sequence[int]) -> Temperature:
        """Return the epoch's tau for every step."""
        return Temperature.of_steps(self._temperature.student.expand(len(sizes)))

    def epoch_tau(self) -> float:
        """Return the epoch's tau."""
        return self._tau
