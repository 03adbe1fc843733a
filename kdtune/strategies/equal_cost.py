"""Strategies whose number of epochs depends on the cost of a distillation, which is not known in advance."""

from dataclasses import dataclass
from typing import Any

from kdtune.strategies.base import Strategy


@dataclass(frozen=True)
class DistillationCost:
    """Cost of a distillation divided by that of training the student alone for the same epochs.

    Attributes:
        flops: Ratio of executed FLOPs, with a live teacher; None if the networks are not known.
        energy: Ratio of training energy in this study; None if it was not measured.
    """

    flops: float | None = None
    energy: float | None = None


class EqualCost(Strategy):
    """A strategy with options that refer to a cost and are replaced by a number once it is known."""

    @classmethod
    def settled(cls, options: dict[str, Any], cost: DistillationCost) -> dict[str, Any]:
        """Return the options with references to known costs replaced by numbers."""
        raise NotImplementedError

    @classmethod
    def waits_for_energy(cls, options: dict[str, Any]) -> bool:
        """Return whether the options depend on the energy of a distillation."""
        raise NotImplementedError
