"""Base class of temperatures that carry a state on the device from step to step."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from kdtune.temperature.base import PolicyContext, Temperature, TemperaturePolicy

if TYPE_CHECKING:
    import torch
    from pydantic import BaseModel


class OnDevice(TemperaturePolicy):
    """Tau is computed on the device from what is kept there, which is changed in place only."""

    depends_on_logits = True

    def __init__(self, options: BaseModel, context: PolicyContext) -> None:
        """Begin without a step."""
        import torch

        self.context = context
        self._sum = torch.zeros((), device=context.device)
        self._steps = 0

    def begin_epoch(self, epoch: int, steps: int) -> None:
        """Forget the temperatures of the epoch before."""
        self._sum.zero_()
        self._steps = steps

    def of_step(
        self, student_logits: torch.Tensor, teacher_logits: torch.Tensor, labels: torch.Tensor, step: int
    ) -> Temperature:
        """Return the temperature of a step, whose number is not used: a captured step does not have one."""
        import torch

        temperature = self.of_logits(student_logits, teacher_logits, labels)
        with torch.no_grad():
            self._sum.add_(temperature.student.mean())
        return temperature

    def of_logits(
        self, student_logits: torch.Tensor, teacher_logits: torch.Tensor, labels: torch.Tensor
    ) -> Temperature:
        """Return the temperature of the next step, in tensors that no later step changes.

        Args:
            student_logits: (n, classes), with gradient.
            teacher_logits: (n, classes).
            labels: True classes, (n,).
        """
        raise NotImplementedError

    def kept(self) -> dict[str, torch.Tensor]:
        """Return by name what is kept from step to step and from epoch to epoch."""
        raise NotImplementedError

    def epoch_tau(self) -> float | None:
        """Return the mean tau of the steps; None before the first epoch."""
        return float(self._sum) / self._steps if self._steps else None

    def state_dict(self) -> dict[str, Any]:
        """Return copies of what is kept."""
        return {name: tensor.detach().clone() for name, tensor in self.kept().items()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore in place what is kept."""
        import torch

        with torch.no_grad():
            for name, tensor in self.kept().items():
                tensor.copy_(state[name])


class InGraph(OnDevice):
    """A policy under which a step can be captured although tau is not scheduled.

    A captured graph reads and writes tensors at fixed addresses. Those that a step changes are named by
    :meth:`tensors`, so that they can be restored after a trial run.

    Attributes:
        depends_on_context: Whether tau depends on the context that the policy was made with, such as the seed. If not,
            trainings with other contexts use the same graph.
    """

    depends_on_context: ClassVar[bool] = True

    def tensors(self) -> Sequence[torch.Tensor]:
        """Return all tensors that a captured step both reads and writes, apart from gradients."""
        return [self._sum, *self.kept().values()]
