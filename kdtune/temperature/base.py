"""The protocol of temperature policies, which choose tau for each step of a training.

Plans validate the options of policies, and plans are made without torch: a policy's file imports it where it is used.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import BaseModel

from kdtune.specs.meta_part import MetaPart
from kdtune.specs.search_space import SearchSpace

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class Temperature:
    """The temperature of one step.

    Attributes:
        student: Divisor of the student's logits: a 0-d tensor, or (batch, 1) with one tau per image.
        teacher: Divisor of the teacher's logits, of the same shape.
        weight: Factor of the distillation term: 0-d, or (batch,). It is tau^2 in Hinton's form, which keeps the size
            of the gradient independent of tau.
    """

    student: torch.Tensor
    teacher: torch.Tensor
    weight: torch.Tensor

    @classmethod
    def same(cls, tau: torch.Tensor) -> Temperature:
        """Return a temperature with one tau for both networks and the weight tau^2."""
        return cls(student=tau, teacher=tau, weight=(tau * tau).flatten() if tau.ndim else tau * tau)

    @classmethod
    def of_steps(cls, taus: torch.Tensor) -> Temperature:
        """Return the temperatures of many steps; the first dimension of each field is the step.

        Args:
            taus: (steps,), or (steps, images) with one tau per image.
        """
        softness = taus if taus.ndim == 1 else taus.unsqueeze(-1)
        return cls(student=softness, teacher=softness, weight=taus * taus)

    def of_pairs(self, pairs: int) -> Temperature:
        """Return the temperature of each pair of logits, where it was given for images that have several pairs each.

        Args:
            pairs: Number of pairs in the batch, in the order of their images.
        """
        if not self.student.ndim or len(self.student) == pairs:
            return self
        several = pairs // len(self.student)
        return Temperature(*(one.repeat_interleave(several, 0) for one in (self.student, self.teacher, self.weight)))

    def at(self, step: torch.Tensor, size: int) -> Temperature:
        """Select one of many steps on the device.

        Args:
            step: Number of the step, int64, (1,).
            size: Number of images in the step.
        """
        chosen = (field.index_select(0, step)[0] for field in (self.student, self.teacher, self.weight))
        return Temperature(*(field[:size] if field.ndim else field for field in chosen))


@dataclass(frozen=True)
class PolicyContext:
    """What a policy may know of the training in which it decides tau.

    Attributes:
        seed: Seed of the training, for the policy's own generator.
        device: Device of the training.
        epochs: Number of epochs of the training.
        batch_size: Images in its largest step.
    """

    seed: int
    device: torch.device
    epochs: int
    batch_size: int


class TemperaturePolicy:
    """Base class of temperature policies.

    Tau is always a tensor: a Python number would recompile a compiled training step for every new value, and reading
    one back would synchronise with the device.

    A policy with other ``Options`` names some examples in their JSON schema
    (``json_schema_extra={"examples": [...]}``), with which the tests of all policies run.

    Attributes:
        Options: Model of the policy's options. An option with the name of a searched value takes that value.
        depends_on_logits: Whether tau depends on the logits. If not, :meth:`scheduled` returns the values of a whole
            epoch, and a step can be captured as a graph. So it can under :class:`kdtune.temperature.in_graph.InGraph`.
        weight_is_tau_squared: Whether the weight is the product of both temperatures. If not, the policy's docstring
            gives the weight, which is finite and not negative.
        needs_labels: Whether tau depends on labels, so that the policy cannot be used on images without any.
    """

    Options: ClassVar[type[BaseModel]]

    depends_on_logits: bool = True
    weight_is_tau_squared: ClassVar[bool] = True
    needs_labels: ClassVar[bool] = False

    @classmethod
    def resolved(cls, options: BaseModel, space: SearchSpace) -> BaseModel:
        """Return options in which nothing is left open that the study's search space decides.

        Args:
            options: An instance of ``Options``.
            space: Search space of the study.
        """
        return options

    @classmethod
    def meta_part(cls, options: BaseModel) -> MetaPart | None:
        """Return what part of the training images is held out for :meth:`before_step`; None if none is.

        Args:
            options: An instance of ``Options``.
        """
        return None

    def __init__(self, options: BaseModel, context: PolicyContext) -> None:
        """Prepare for a training.

        Args:
            options: An instance of ``Options``, resolved.
            context: Facts about the training.
        """

    def begin_epoch(self, epoch: int, steps: int) -> None:
        """Prepare for an epoch (counted from 0) with this number of steps."""

    def __call__(self, student_logits: torch.Tensor, teacher_logits: torch.Tensor, step: int) -> Temperature:
        """Return the temperature of a step (counted from 0); both logits have the shape (batch, classes)."""
        raise NotImplementedError

    def of_step(
        self, student_logits: torch.Tensor, teacher_logits: torch.Tensor, labels: torch.Tensor, step: int
    ) -> Temperature:
        """Return the temperature of a step; a policy that needs labels overrides this instead of ``__call__``.

        Args:
            student_logits: (batch, classes), with gradient.
            teacher_logits: (batch, classes).
            labels: True classes, int64, (batch,).
            step: Number of the step in the epoch, counted from 0.
        """
        return self(student_logits, teacher_logits, step)

    def before_step(self, look_ahead: Any) -> None:
        """Learn from a look-ahead, a :class:`kdtune.training.look_ahead.LookAhead`, before some of the steps."""

    def parameters(self) -> Sequence[torch.nn.Parameter]:
        """Return what is learned: the student's optimiser trains it too. It is part of :meth:`state_dict`."""
        return ()

    def scheduled(self, sizes: Sequence[int]) -> Temperature:
        """Return the temperatures of all steps of the current epoch, equal to those of a call for each step.

        Args:
            sizes: Number of images in each step.

        Returns:
            A result of :meth:`Temperature.of_steps`.
        """
        raise NotImplementedError

    def epoch_tau(self) -> float | None:
        """Return the mean tau of the epoch that has just ended, for the log; None if it is undefined."""
        return None

    def state_dict(self) -> dict[str, Any]:
        """Return the state that a checkpoint needs for an exact continuation."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore a result of :meth:`state_dict`."""
