"""Strategies whose length depends on what one distillation costs, which is known only once the networks are."""

from dataclasses import dataclass
from typing import Any

from kdtune.strategies.base import Strategy


@dataclass(frozen=True)
class DistillationCost:
    """One distillation, as a multiple of a training of the student alone for as many epochs.

    Attributes:
        flops: Executed with a live teacher; None where the networks are not known.
        energy: Charged for training, as the study runs it; None where it was not measured.
    """

    flops: float | None = None
    energy: float | None = None


class EqualCost(Strategy):
    """A strategy with options that stand for a cost until that is known."""

    @classmethod
    def settled(cls, options: dict[str, Any], cost: DistillationCost) -> dict[str, Any]:
        """Options as a study has them, with nothing left open that depends on a cost which is known."""
        raise NotImplementedError

    @classmethod
    def waits_for_energy(cls, options: dict[str, Any]) -> bool:
        """Whether options cannot be settled before the energy of a distillation is known."""
        raise NotImplementedError
