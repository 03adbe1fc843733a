"""Temperatures by meta-gradients, in the manner of Meta Knowledge Distillation (J. Liu et al., arXiv 2202.07940, 2022).

Every ``every`` steps, before the step, with the weights theta and held-out images of the method's own:

    theta' = theta - eta grad_theta L(theta; tau_s, tau_t)
    (tau_s, tau_t) <- clamp((tau_s, tau_t) - ``beta`` grad_tau CE_held_out(theta'), ``least``, ``greatest``)

where L is the loss of the training on the next batch, and eta is the learning rate of the step unless it is given. The
gradient of tau is of second order: it flows through the gradient of theta. The weight is tau_s tau_t.

The share ``held_out`` of the training images of each class is held out, and trains nothing else. The validation images
take no part, because strategies are judged by them. Look-aheads are eager steps and part of the trial, so their energy
is charged to it; the executed FLOPs count six forward passes for an image of the batch and three for a held-out one.

Differences: the virtual step is one of plain gradient descent, whatever the study's optimiser is. The paper trains
vision transformers; its schedule of updates and its limits were not available, so these are options here.

The default of ``beta`` was chosen by validation accuracy on two studies of kdtune, digits-dynamic (mean of 4 repeats)
and fashion-dynamic (of 2), where a fixed tau of 4 gives 86.8 % and 77.9 %:

    beta                     1      10     100    1000   10000
    digits, accuracy in %    85.1   85.4   80.2   61.9   70.8
    Fashion-MNIST            77.4   75.9   -      -      -

At 1, tau stays within an eighth of its first value on both; at 100 it triples in some trainings, and from 1000 on it is
driven towards its limits. The gradients of tau differ 1000-fold between networks: another pair may want another value.

Hidden tuning: ``tau``, eta, ``beta``, ``every`` and ``held_out``; the defaults are values of kdtune.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import BaseModel, ConfigDict, Field

from kdtune.specs.frozen_model import FrozenModel
from kdtune.specs.meta_part import MetaPart
from kdtune.specs.temperature_range import Tau
from kdtune.temperature.base import PolicyContext, Temperature
from kdtune.temperature.in_graph import OnDevice

if TYPE_CHECKING:
    import torch


class Options(FrozenModel):
    """How the temperatures are learned.

    Attributes:
        tau: The first tau of both networks; can be searched.
        eta: Learning rate of the virtual step; None for that of the real one.
        beta: Learning rate of the temperatures.
        every: Steps from one update to the next; the first step of each epoch has one.
        held_out: Share of the training images of each class that is held out.
        least: Lower limit of both temperatures.
        greatest: Upper limit.
    """

    model_config = ConfigDict(json_schema_extra={"examples": [{"tau": 4}, {"tau": 8, "beta": 100.0, "every": 1}]})

    tau: Tau = 4
    eta: float | None = Field(default=None, gt=0.0, le=1e6)
    beta: float = Field(default=1.0, gt=0.0, le=1e6)
    every: int = Field(default=10, ge=1, strict=True)
    held_out: float = Field(default=0.1, gt=0.0, lt=1.0)
    least: Tau = 1
    greatest: Tau = 40


class Meta(OnDevice):
    """Learns a tau for each network, so that the next step helps on images that are held out."""

    Options: ClassVar[type[BaseModel]] = Options
    needs_labels = True

    @classmethod
    def meta_part(cls, options: BaseModel) -> MetaPart:
        """Return how many images are held out."""
        assert isinstance(options, Options)
        return MetaPart(share=options.held_out, every=options.every)

    def __init__(self, options: BaseModel, context: PolicyContext) -> None:
        """Begin with the first tau for both networks."""
        import torch

        super().__init__(options, context)
        assert isinstance(options, Options)
        self._options = options
        self._student, self._teacher = (torch.full((), float(options.tau), device=context.device) for _ in range(2))

    def before_step(self, look_ahead: Any) -> None:
        """Move both temperatures against the gradient of the held-out loss."""
        import torch

        options, taus = self._options, (self._student, self._teacher)
        student, teacher = (tau.clone().requires_grad_() for tau in taus)
        loss = look_ahead.held_out_loss(lambda: Temperature(student, teacher, student * teacher), options.eta)
        slopes = torch.autograd.grad(loss, (student, teacher))
        for tau, slope in zip(taus, slopes, strict=True):
            # A gradient that is not a number would end the training; the temperature then stays as it is.
            step = torch.nan_to_num(options.beta * slope, nan=0.0, posinf=0.0, neginf=0.0)
            tau.sub_(step).clamp_(float(options.least), float(options.greatest))

    def of_logits(
        self, student_logits: torch.Tensor, teacher_logits: torch.Tensor, labels: torch.Tensor
    ) -> Temperature:
        """Return the present temperatures."""
        return Temperature(self._student.clone(), self._teacher.clone(), self._student * self._teacher)

    def kept(self) -> dict[str, torch.Tensor]:
        """Return the present temperatures."""
        return {"student": self._student, "teacher": self._teacher}
