"""Temperature policies that are not built in: whatever they raise or return wrongly becomes one message."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel

from kdtune.catalog.foreign_calls import foreign_call
from kdtune.errors import UsageError
from kdtune.specs.temperature_range import TAU_RANGE
from kdtune.temperature.base import PolicyContext, Temperature, TemperaturePolicy

if TYPE_CHECKING:
    import torch

#: Relative difference from the limits that float32 may cause.
_ROUNDING = 1e-6


class GuardedPolicy(TemperaturePolicy):
    """A policy of another author, or a built-in one that is checked.

    Every method raises a :class:`UsageError` if the policy's own does.
    Shapes are checked in each step. Values are checked when an epoch ends, so that no step waits for a device, and
    those of a schedule before its first step.
    """

    def __init__(
        self,
        name: str,
        policy: type[TemperaturePolicy],
        options: BaseModel,
        context: PolicyContext,
        *,
        built_in: bool = False,
    ) -> None:
        """Make the policy.

        Args:
            name: Reference or entry point of the policy.
            policy: Its class.
            options: An instance of its ``Options``, resolved.
            context: Facts about the training.
            built_in: Whether the policy is one of kdtune's own. Some of these follow the logits beyond the range that
                users' policies must keep to, such as ``normkd`` for equal logits; only a positive, finite tau is
                required of them.
        """
        self._built_in = built_in
        self._component = f"temperature {name}"
        with foreign_call(self._component, "__init__()"):
            self._own = policy(options, context)
            self.depends_on_logits = bool(self._own.depends_on_logits)
        self._epoch = 0
        #: Smallest and largest values of the steps that were not checked yet, 0-d, on the device.
        self._taus: list[torch.Tensor] = []
        self._weights: list[torch.Tensor] = []

    def begin_epoch(self, epoch: int, steps: int) -> None:
        """Prepare the policy for an epoch."""
        self._epoch, self._taus, self._weights = epoch, [], []
        with foreign_call(self._component, "begin_epoch()"):
            self._own.begin_epoch(epoch, steps)

    def of_step(
        self, student_logits: torch.Tensor, teacher_logits: torch.Tensor, labels: torch.Tensor, step: int
    ) -> Temperature:
        """Return the policy's temperature of a step."""
        with foreign_call(self._component, "__call__()"):
            found = self._own.of_step(student_logits, teacher_logits, labels, step)
        images = len(student_logits)
        self._check_shapes("__call__()", found, [(), (images, 1)], [(), (images,)])
        self._note_values(found)
        return found

    def before_step(self, look_ahead: Any) -> None:
        """Let the policy learn from a look-ahead."""
        with foreign_call(self._component, "before_step()"):
            self._own.before_step(look_ahead)

    def parameters(self) -> Sequence[torch.nn.Parameter]:
        """Return the policy's learned parameters."""
        with foreign_call(self._component, "parameters()"):
            return tuple(self._own.parameters())

    def scheduled(self, sizes: Sequence[int]) -> Temperature:
        """Return the policy's temperatures of the epoch."""
        with foreign_call(self._component, "scheduled()"):
            found = self._own.scheduled(sizes)
        steps, images = len(sizes), max(sizes)
        self._check_shapes("scheduled()", found, [(steps,), (steps, images, 1)], [(steps,), (steps, images)])
        self._note_values(found)
        self._check_values()
        return found

    def epoch_tau(self) -> float | None:
        """Return the policy's mean tau of the epoch, once the values of the epoch have been checked."""
        self._check_values()
        with foreign_call(self._component, "epoch_tau()"):
            found = self._own.epoch_tau()
            return None if found is None else float(found)

    def state_dict(self) -> dict[str, Any]:
        """Return the policy's state."""
        with foreign_call(self._component, "state_dict()"):
            return self._own.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore the policy's state."""
        with foreign_call(self._component, "load_state_dict()"):
            self._own.load_state_dict(state)

    def _check_shapes(
        self, method: str, found: Any, of_tau: list[tuple[int, ...]], of_weight: list[tuple[int, ...]]
    ) -> None:
        import torch

        if not isinstance(found, Temperature):
            kind = type(found).__name__
            raise self._error(f"{method} returned a value of type {kind}; return Temperature.same(tau) with a tensor")
        for field, shapes in (("student", of_tau), ("teacher", of_tau), ("weight", of_weight)):
            value = getattr(found, field)
            if not isinstance(value, torch.Tensor):
                raise self._error(f"{method}: {field} is of type {type(value).__name__}; return a torch.Tensor")
            if value.device != found.student.device:
                raise self._error(f"{method}: {field} is on {value.device}, student on {found.student.device}")
            if tuple(value.shape) not in shapes:
                raise self._error(
                    f"{method}: {field} has the shape {tuple(value.shape)}; it has to be "
                    f"{' or '.join(map(str, shapes))}"
                )

    def _check_values(self) -> None:
        """Read the values of the epoch from the device.

        Raises:
            UsageError: A tau is out of range, or a weight is negative or not a finite number.
        """
        import torch

        if not self._taus:
            return
        taus, weights = (torch.stack(values).double().cpu() for values in (self._taus, self._weights))
        self._taus, self._weights = [], []
        low, high = TAU_RANGE
        allowed, rule = (taus > 0) & taus.isfinite(), "it has to be positive and finite"
        if not self._built_in:
            allowed = (taus >= low * (1 - _ROUNDING)) & (taus <= high * (1 + _ROUNDING))
            rule = f"it has to lie between {low:g} and {high:g}: limit it by clamp()"
        at = f"in epoch {self._epoch + 1}"
        if not bool(allowed.all()):
            raise self._error(f"tau is {float(taus[~allowed][0]):g} {at}; {rule}")
        if not bool(weights.isfinite().all()):
            raise self._error(f"the weight is not a finite number {at}; it is usually tau squared")
        if float(weights.min()) < 0:
            raise self._error(f"the weight is {float(weights.min()):g} {at}; it must not be negative")

    def _note_values(self, found: Temperature) -> None:
        """Keep the smallest and the largest tau and weight; NaN if a value is NaN."""
        import torch

        self._taus += torch.aminmax(found.student.detach().float())
        if found.teacher is not found.student:
            self._taus += torch.aminmax(found.teacher.detach().float())
        self._weights += torch.aminmax(found.weight.detach().float())

    def _error(self, problem: str) -> UsageError:
        return UsageError(f"{self._component}: {problem}")
