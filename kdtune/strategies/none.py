"""The row that every distillation table needs: the student without a teacher."""

from kdtune.specs.space import Point
from kdtune.strategies.base import OneRound


class NoDistillation(OneRound):
    """One training of the student on the labels alone, with the same recipe and seed."""

    def points(self) -> list[Point]:
        """A single point that replaces the distillation loss by cross-entropy."""
        return [{"loss": "ce"}]
