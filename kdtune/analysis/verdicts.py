"""What paired differences over repeats say of a claim, by Student's t and a margin that is declared beforehand."""

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

Verdict = Literal["supported", "contradicted", "not settled", "not run"]

CONFIDENCE = 0.95

#: Repeats from which on an interval settles anything: two may agree by chance, and so seem sure.
FEWEST = 3


@dataclass(frozen=True)
class Interval:
    """A mean and its confidence interval.

    Attributes:
        mean: Of the observations.
        low: Lower end; minus infinity where there are too few observations for one.
        high: Upper end; infinity likewise.
        n: Observations.
    """

    mean: float
    low: float
    high: float
    n: int

    def as_json(self) -> dict[str, Any]:
        """As a record; an end that there is none of is null."""
        low, high = (self.low, self.high) if self.is_bounded else (None, None)
        return {"mean": self.mean, "low": low, "high": high, "n": self.n, "confidence": CONFIDENCE}

    @property
    def is_bounded(self) -> bool:
        """Whether there were enough observations for an interval."""
        return math.isfinite(self.low)

    @classmethod
    def unbounded(cls, mean: float, n: int) -> "Interval":
        """A mean of observations that are not enough for an interval."""
        return cls(mean, -math.inf, math.inf, n)

    def exponential(self) -> "Interval":
        """The interval of a ratio, from that of its logarithm."""
        ends = (math.exp(self.low), math.exp(self.high)) if self.is_bounded else (self.low, self.high)
        return Interval(math.exp(self.mean), *ends, self.n)


def paired(first: Mapping[int, float], second: Mapping[int, float]) -> list[float]:
    """First less second, of every seed that both have, in the order of seeds."""
    return [first[seed] - second[seed] for seed in sorted(first.keys() & second.keys())]


def t_interval(values: Sequence[float], resolution: float = 0.0) -> Interval | None:
    """Mean and Student's t interval at :data:`CONFIDENCE`; None of nothing.

    One observation bounds nothing. Several that agree to the last digit tell that the measure is coarse, not that it is
    exact: a deviation below the measure's resolution is taken for that.

    Args:
        values: Observations.
        resolution: The least that two of them can be apart without being equal; 0 where they are not in steps. Then
            several without any spread bound nothing.
    """
    if not values:
        return None
    mean, n = statistics.fmean(values), len(values)
    deviation = max(statistics.stdev(values), resolution) if n > 1 else 0.0
    # What rounding leaves of equal numbers is no spread.
    if deviation <= 1e-12 * max(1.0, abs(mean)):
        return Interval.unbounded(mean, n)
    from scipy.stats import t

    half = float(t.ppf((1 + CONFIDENCE) / 2, n - 1)) * deviation / math.sqrt(n)
    return Interval(mean, mean - half, mean + half, n)


def lies_within(interval: Interval, low: float, high: float) -> Verdict:
    """Of a claim that something lies in a range: supported all inside, contradicted all outside, else not settled."""
    if low <= interval.low and interval.high <= high:
        return "supported"
    return "contradicted" if interval.low > high or interval.high < low else "not settled"


def exceeds(interval: Interval, above: float, below: float) -> Verdict:
    """Of a claim that something is large.

    Args:
        interval: Of it.
        above: Supported where the whole interval is larger than this.
        below: Contradicted where the whole interval is smaller than this, and it is not supported.
    """
    if interval.low > above:
        return "supported"
    return "contradicted" if interval.high < below else "not settled"
