"""Rule that ends a search when the expected gain of another training is no longer worth its energy."""

import statistics
from collections.abc import Sequence
from typing import Self

from pydantic import Field, model_validator

from kdtune.strategies.base import NoOptions

#: Fewest trainings before a search may end; fewer say nothing about the spread of the scores.
FEWEST = 4


class GainRule(NoOptions):
    """Options of searches that may end early.

    The energy of a training is given instead of measured, so that the same study suggests the same points everywhere.

    Attributes:
        min_gain_per_kwh: The search ends once the expected gain of another training, in the unit of the objective (for
            accuracies, fractions), is smaller than this for each kWh; None for no such rule.
        training_kwh: Energy of one training, such as that of the plan that ``--dry-run`` shows, divided by its trials.
    """

    min_gain_per_kwh: float | None = Field(default=None, gt=0, allow_inf_nan=False)
    training_kwh: float | None = Field(default=None, gt=0, allow_inf_nan=False)

    @model_validator(mode="after")
    def _both_or_none(self) -> Self:
        if (self.min_gain_per_kwh is None) != (self.training_kwh is None):
            raise ValueError(
                "min_gain_per_kwh and training_kwh need each other; --dry-run shows the energy of all trials, from "
                "which that of one training follows"
            )
        return self

    @property
    def may_end_early(self) -> bool:
        """Whether there is a rule."""
        return self.min_gain_per_kwh is not None

    def ends(self, scores: Sequence[float]) -> bool:
        """Return whether a search should end.

        Args:
            scores: Scores of all trainings so far; higher is better.
        """
        if self.min_gain_per_kwh is None or self.training_kwh is None or len(scores) < FEWEST:
            return False
        return expected_gain(scores) < self.min_gain_per_kwh * self.training_kwh


def expected_gain(scores: Sequence[float]) -> float:
    """Return by how much another training is expected to exceed the best one so far.

    This is the expected improvement (Jones et al. 1998) under a normal distribution with the mean and the deviation of
    the scores so far: as if the next point were drawn like those before it.

    Args:
        scores: At least two scores; higher is better.
    """
    mean, deviation = statistics.fmean(scores), statistics.stdev(scores)
    if not deviation:
        return 0.0
    above = (mean - max(scores)) / deviation
    standard = statistics.NormalDist()
    return deviation * (above * standard.cdf(above) + standard.pdf(above))
