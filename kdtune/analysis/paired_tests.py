"""Tests of paired differences over few repeats, beside Student's t: bootstrap, sign flips, equivalence and Holm.

They follow *When +1 % is not enough* (arXiv 2511.19794) and Bouthillier et al. (arXiv 2103.03098). Random numbers have
a fixed seed, so the same results always give the same verdict.
"""

import math
import statistics
from collections.abc import Sequence
from typing import Any

from kdtune.analysis.verdicts import CONFIDENCE, Interval, deviation_of

#: Level of significance.
ALPHA = 1 - CONFIDENCE

#: Bootstrap resamples, and sign flips beyond which they are drawn instead of enumerated.
RESAMPLES, MOST_FLIPS = 9_999, 2**15

#: Seed of the random numbers.
SEED = 2023

#: Probability with which the proposed number of repeats settles a comparison.
POWER = 0.8

#: Greatest number of repeats that is proposed.
MOST_REPEATS = 1000


def bca_interval(values: Sequence[float], confidence: float = CONFIDENCE) -> Interval | None:
    """Return the mean and its bias-corrected and accelerated bootstrap interval; None without observations.

    Equal values give an interval of no width; a single one gives no bounds.

    Args:
        values: Observations.
        confidence: Probability with which the interval should contain the true mean.
    """
    import numpy as np

    if not values:
        return None
    mean, n = statistics.fmean(values), len(values)
    if n == 1:
        return Interval.unbounded(mean, n)
    if not deviation_of(values):
        return Interval(mean, mean, mean, n)
    from scipy.stats import bootstrap

    found = bootstrap(
        (np.asarray(values),), np.mean, n_resamples=RESAMPLES, confidence_level=confidence, method="BCa", rng=SEED
    ).confidence_interval
    return Interval(mean, float(found.low), float(found.high), n)


def sign_flip_p(differences: Sequence[float]) -> float | None:
    """Return the two-sided p value of the mean difference when signs are flipped at random; None without observations.

    All flips are enumerated up to :data:`MOST_FLIPS`, so the test is exact for up to 15 repeats.
    """
    if not differences:
        return None
    if len(differences) == 1:
        return 1.0
    import numpy as np
    from scipy.stats import permutation_test

    found = permutation_test(
        (np.asarray(differences),),
        np.mean,
        permutation_type="samples",
        vectorized=True,
        n_resamples=MOST_FLIPS,
        rng=SEED,
    )
    return float(found.pvalue)


def smallest_sign_flip_p(n: int) -> float:
    """Return the smallest two-sided p value that an exact test of ``n`` paired differences can have."""
    return min(1.0, 2 / 2**n)


def fewest_for_exact_test() -> int:
    """Return the smallest number of repeats with which the sign-flip test can be significant."""
    return next(n for n in range(2, MOST_REPEATS) if smallest_sign_flip_p(n) <= ALPHA)


def repeats_needed(repeats: int, settling: int | None) -> int:
    """Return how many repeats an open comparison needs; 0 if that is unknown.

    Args:
        repeats: Repeats of the comparison; if they are too few for an exact test, so many are needed at least.
        settling: Number of repeats that would settle it; None if that is unknown.
    """
    fewest = fewest_for_exact_test()
    return max(fewest if repeats < fewest else 0, settling or 0)


def t_test_p(differences: Sequence[float], resolution: float = 0.0) -> float | None:
    """Return the two-sided p value of the paired t test; None for fewer than two observations, or without a deviation.

    See :func:`kdtune.analysis.verdicts.t_interval` for the resolution, which the deviation does not fall below.
    """
    from scipy.special import stdtr

    error = _standard_error(differences, resolution)
    return (
        None if error is None else float(2 * stdtr(len(differences) - 1, -abs(statistics.fmean(differences)) / error))
    )


def equivalence_p(differences: Sequence[float], margin: float, resolution: float = 0.0) -> float | None:
    """Return the p value of two one-sided t tests (TOST): small if the mean difference lies within the margin.

    None for fewer than two observations, or without a deviation.

    Args:
        differences: Paired differences.
        margin: Differences smaller than this do not matter; fixed before the results are known.
        resolution: As for :func:`t_test_p`.
    """
    from scipy.special import stdtr

    error = _standard_error(differences, resolution)
    if error is None:
        return None
    mean, degrees = statistics.fmean(differences), len(differences) - 1
    return float(max(stdtr(degrees, -(mean + margin) / error), stdtr(degrees, (mean - margin) / error)))


def holm(p_values: Sequence[float | None]) -> list[float | None]:
    """Return Holm's adjusted p values, which may be compared with :data:`ALPHA` for a whole table.

    Unknown values remain unknown and do not count as comparisons.
    """
    known = sorted((p, place) for place, p in enumerate(p_values) if p is not None)
    adjusted: list[float | None] = [None] * len(p_values)
    largest = 0.0
    for rank, (p, place) in enumerate(known):
        largest = max(largest, min(1.0, (len(known) - rank) * p))
        adjusted[place] = largest
    return adjusted


def probability_of_improvement(scores: Sequence[float]) -> Interval | None:
    """Return the share of pairs with a positive difference, ties counting half, and Wilson's interval.

    It estimates P(better): how often the strategy wins against the baseline. None without observations.
    """
    from scipy.special import ndtri

    if not scores:
        return None
    n = len(scores)
    share = sum(1.0 if score > 0 else 0.5 if score == 0 else 0.0 for score in scores) / n
    z = float(ndtri((1 + CONFIDENCE) / 2))
    centre, half = share + z * z / (2 * n), z * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    scale = 1 + z * z / n
    return Interval(share, max(0.0, (centre - half) / scale), min(1.0, (centre + half) / scale), n)


def repeats_to_settle(mean: float, deviation: float, margin: float, comparisons: int = 1) -> int | None:
    """Return how many repeats establish a difference or equivalence with probability :data:`POWER`.

    It assumes that the observed mean and deviation are the true ones, so it is a guide and not a promise. None if that
    takes more than :data:`MOST_REPEATS`.

    Args:
        mean: Mean difference.
        deviation: Standard deviation of the differences.
        margin: Margin of equivalence.
        comparisons: Number of comparisons in the table, for which the level of significance is divided.
    """
    import numpy as np

    first, last = 2, 17
    while first <= MOST_REPEATS:  # few numbers at a time, since the noncentral distribution is slow
        n = np.arange(first, min(last, MOST_REPEATS) + 1)
        enough = np.flatnonzero(_power(n, mean, deviation, margin, comparisons) >= POWER)
        if enough.size:
            return int(n[enough[0]])
        first, last = last + 1, 4 * last
    return None


def _power(n: Any, mean: float, deviation: float, margin: float, comparisons: int) -> Any:
    """Return the probability that n repeats establish a difference or equivalence; int64 and float64, (k,)."""
    import numpy as np
    from scipy.stats import nct, t

    scale = np.sqrt(n) / deviation
    critical = t.isf(ALPHA / comparisons / 2, n - 1)
    # An exact test of few repeats cannot be significant.
    of_difference = np.where(n >= fewest_for_exact_test(), nct.sf(critical, n - 1, abs(mean) * scale), 0.0)
    critical = t.isf(ALPHA / comparisons, n - 1)
    below, above = nct.cdf(-critical, n - 1, (mean - margin) * scale), nct.cdf(critical, n - 1, (mean + margin) * scale)
    return np.maximum(of_difference, below - above)


def _standard_error(values: Sequence[float], resolution: float) -> float | None:
    deviation = deviation_of(values, resolution) if values else 0.0
    return deviation / math.sqrt(len(values)) if deviation else None
