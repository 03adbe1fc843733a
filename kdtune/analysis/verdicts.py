"""Verdicts on claims from paired differences over repeats, by Student's t and a margin that is fixed in advance."""

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, is_dataclass
from typing import Any, Literal

from kdtune.catalog.metric import Metric

Verdict = Literal["supported", "contradicted", "not settled", "not run"]

CONFIDENCE = 0.95

#: Minimum number of repeats for a verdict, since two repeats may agree by chance.
FEWEST = 3


@dataclass(frozen=True)
class Interval:
    """A mean and its confidence interval.

    Attributes:
        mean: Mean of the observations.
        low: Lower end; minus infinity if there are too few observations.
        high: Upper end; infinity if there are too few observations.
        n: Number of observations.
    """

    mean: float
    low: float
    high: float
    n: int

    def as_json(self) -> dict[str, Any]:
        """Return the interval as a record, in which infinite ends are null."""
        low, high = (self.low, self.high) if self.is_bounded else (None, None)
        return {"mean": self.mean, "low": low, "high": high, "n": self.n, "confidence": CONFIDENCE}

    @property
    def is_bounded(self) -> bool:
        """Whether there were enough observations for an interval."""
        return math.isfinite(self.low)

    @classmethod
    def unbounded(cls, mean: float, n: int) -> "Interval":
        """Return an interval without ends, for too few observations."""
        return cls(mean, -math.inf, math.inf, n)

    def gain(self, metric: Metric) -> "Interval":
        """Return the interval of a gain from that of a difference; the sign changes if lower values are better."""
        return self if metric.higher_is_better else -self

    def __neg__(self) -> "Interval":
        return Interval(-self.mean, -self.high, -self.low, self.n)

    def exponential(self) -> "Interval":
        """Return the interval of a ratio from the interval of its logarithm."""
        ends = (math.exp(self.low), math.exp(self.high)) if self.is_bounded else (self.low, self.high)
        return Interval(math.exp(self.mean), *ends, self.n)


def bounded_record(value: Any) -> Any:
    """Return a dataclass, or a list of them, as a JSON value; infinite ends of intervals are null."""
    if isinstance(value, Interval):
        return value.as_json()
    if is_dataclass(value) and not isinstance(value, type):
        return {key: bounded_record(one) for key, one in vars(value).items()}
    return [bounded_record(one) for one in value] if isinstance(value, list | tuple) else value


def paired(first: Mapping[int, float], second: Mapping[int, float]) -> list[float]:
    """Return the differences ``first - second`` of all seeds that both have, in the order of seeds."""
    return [first[seed] - second[seed] for seed in sorted(first.keys() & second.keys())]


def deviation_of(values: Sequence[float], resolution: float = 0.0) -> float:
    """Return the sample standard deviation, at least the resolution; 0 for a single value or equal ones without one.

    Args:
        values: At least one observation.
        resolution: As for :func:`t_interval`.
    """
    deviation = max(statistics.stdev(values), resolution) if len(values) > 1 else 0.0
    # Rounding errors of equal numbers do not count as a deviation.
    return deviation if deviation > 1e-12 * max(1.0, abs(statistics.fmean(values))) else 0.0


def t_interval(values: Sequence[float], resolution: float = 0.0) -> Interval | None:
    """Return the mean and Student's t interval at :data:`CONFIDENCE`; None without observations.

    A single observation gives no bounds. Observations that agree to the last digit show that the measure is coarse, not
    that it is exact, so a deviation below the resolution of the measure is replaced by the resolution.

    Args:
        values: Observations.
        resolution: Smallest possible difference between two unequal observations; 0 for continuous measures. With 0,
            equal observations give no bounds.
    """
    if not values:
        return None
    mean, n = statistics.fmean(values), len(values)
    deviation = deviation_of(values, resolution)
    if not deviation:
        return Interval.unbounded(mean, n)
    from scipy.special import stdtrit  # scipy.stats.t.ppf, without an import of a second

    half = float(stdtrit(n - 1, (1 + CONFIDENCE) / 2)) * deviation / math.sqrt(n)
    return Interval(mean, mean - half, mean + half, n)


def lies_within(interval: Interval, low: float, high: float) -> Verdict:
    """Judge a claim that a value lies in a range: supported if the interval is inside, contradicted if outside."""
    if low <= interval.low and interval.high <= high:
        return "supported"
    return "contradicted" if interval.low > high or interval.high < low else "not settled"


def exceeds(interval: Interval, above: float, below: float) -> Verdict:
    """Judge a claim that a value is large.

    Args:
        interval: Interval of the value.
        above: The claim is supported if the whole interval is larger than this.
        below: An unsupported claim is contradicted if the whole interval is smaller than this.
    """
    if interval.low > above:
        return "supported"
    return "contradicted" if interval.high < below else "not settled"
