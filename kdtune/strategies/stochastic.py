"""The zero-search baseline: one training whose every batch draws its own tau (PLOS ONE 2023, e0285668)."""

from kdtune.specs.space import Point
from kdtune.strategies.base import OneRound


class Stochastic(OneRound):
    """One trial under the ``stochastic`` temperature policy, which draws from the same space."""

    def points(self) -> list[Point]:
        """A single point that names the policy instead of a tau."""
        return [{"temperature": "stochastic"}]
