"""The temperatures of the steps of an epoch, under any temperature policy or none."""

from collections.abc import Sequence
from functools import partial
from typing import Any

import torch

from kdtune.methods.loading import Softness
from kdtune.specs.trial_spec import Recipe
from kdtune.temperature.base import PolicyContext, Temperature, TemperaturePolicy
from kdtune.temperature.in_graph import InGraph
from kdtune.temperature.loading import make_policy
from kdtune.training.tau_trace import TauTrace, traced_tau
from kdtune.training.training_step import StepTemperature


def policy_of(recipe: Recipe, context: PolicyContext) -> TemperaturePolicy | None:
    """Return the temperature policy of a recipe; None if the recipe has none."""
    return make_policy(recipe.temperature, context) if recipe.temperature else None


def can_be_captured(policy: TemperaturePolicy | None) -> bool:
    """Return whether a step under the policy can be captured as a graph."""
    return policy is None or isinstance(policy, InGraph) or not policy.depends_on_logits


class StepTemperatures:
    """Gives each step of an epoch its temperature, and records all of them."""

    def __init__(
        self, policy: TemperaturePolicy | None, device: torch.device, softness: Softness | None = None
    ) -> None:
        """Prepare.

        Args:
            policy: Decides the temperatures; None without a teacher.
            device: Device of the training.
            softness: What the loss makes of the temperatures; None if it uses them as they are.
        """
        self._policy = policy
        self._softness = softness
        self._device = device
        self._trace = TauTrace()
        self._numbers = torch.empty(0)
        #: Temperatures of all steps; None if the policy needs logits, or without a policy.
        self.scheduled: Temperature | None = None

    def begin_epoch(self, epoch: int, sizes: Sequence[int]) -> None:
        """Prepare for an epoch.

        Args:
            epoch: Counted from 0.
            sizes: Number of images in each step.
        """
        self._trace = TauTrace()
        if self._policy is None:
            return
        self._policy.begin_epoch(epoch, len(sizes))
        if not self._policy.depends_on_logits:
            self._numbers = torch.arange(len(sizes), device=self._device)
            self.scheduled = self._policy.scheduled(sizes)
            if self._softness is None:
                self._trace.scheduled(self.scheduled, sizes)

    def at(self, step: int, images: int) -> StepTemperature | None:
        """Return what gives the temperature of a step that is not captured; None without a policy.

        Args:
            step: Number of the step in the epoch, counted from 0.
            images: Number of images in the step. An image may have several pairs of logits.
        """
        policy, scheduled, numbers = self._policy, self.scheduled, self._numbers
        if policy is None:
            return None
        if scheduled is None:
            return partial(self._recorded, partial(policy.of_step, step=step))

        def of_schedule(student: torch.Tensor, teacher: torch.Tensor, labels: torch.Tensor) -> Temperature:
            return scheduled.at(numbers[step : step + 1], images)

        # What is scheduled has been recorded when the epoch began.
        return partial(self._recorded, of_schedule) if self._softness else of_schedule

    def _recorded(
        self, decide: StepTemperature, student: torch.Tensor, teacher: torch.Tensor, labels: torch.Tensor
    ) -> Temperature:
        temperature = decide(student, teacher, labels)
        self._trace.record(traced_tau(temperature, self._softness, student, teacher), labels)
        return temperature

    def captured(self, taus: torch.Tensor, labels: torch.Tensor | None) -> None:
        """Record the temperatures that the captured steps of an epoch have computed; see :class:`TauTrace`."""
        self._trace.computed(taus, labels)

    def metrics(self) -> dict[str, Any]:
        """Return the mean and the distribution of the epoch's temperatures, as fields of its metrics."""
        tau = self._policy.epoch_tau() if self._policy else None
        return {"tau": tau if self._softness is None else self._trace.mean(), **self._trace.summary()}
