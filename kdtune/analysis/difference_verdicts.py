"""Verdicts on differences between strategies and a baseline, paired by seed.

A difference is claimed only where the t test (with Holm's correction for the whole table), the bootstrap interval and
the sign-flip test agree. Equivalence is claimed by two one-sided t tests (with Holm's correction), together with the
bootstrap interval, for the margin that was frozen with the study.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from kdtune.analysis import paired_tests
from kdtune.analysis.paired_tests import ALPHA
from kdtune.analysis.verdicts import FEWEST, Interval, deviation_of, t_interval
from kdtune.catalog.metric import Metric

DifferenceVerdict = Literal["better", "worse", "equivalent", "open"]


@dataclass(frozen=True)
class BaselineComparison:
    """A strategy compared with the baseline, paired by seed.

    Attributes:
        strategy: Name of the strategy.
        difference: Strategy minus baseline, with Student's t interval; None without a common seed.
        difference_std: Sample standard deviation of the differences, at least the share of one test image.
        bootstrap: The same mean with its BCa bootstrap interval.
        seed_error: Standard error of the difference over repeats.
        image_error: Standard error of the difference over test images, for the same models; None if unknown. If it is
            the larger one, more repeats do not help as much as more test images.
        t_p: Two-sided p value of the paired t test, and ``t_p_holm`` corrected for the comparisons of the table.
        sign_flip_p: Two-sided p value of the sign-flip test, ``sign_flip_p_holm`` corrected likewise, and
            ``smallest_sign_flip_p`` the smallest one that so few repeats can have.
        equivalence_p: p value of the two one-sided t tests, and ``equivalence_p_holm`` corrected.
        better_share: P(better), the share of repeats in which the strategy was better than the baseline.
        energy_as_run: Ratio of the energies of the repeats, geometric mean; the interval is that of the logarithm.
        energy_training: The same for trials and evaluation alone.
        verdict: ``better``, ``worse``, ``equivalent`` or ``open``.
        within_margin: Whether equivalence was established, which a small ``better`` or ``worse`` may also be.
        repeats_to_settle: For an open comparison, the number of repeats that would settle it if mean and deviation
            stayed the same; None if it is settled, if that is unknown, or if no affordable number would.
    """

    strategy: str
    difference: Interval | None
    difference_std: float | None
    bootstrap: Interval | None
    seed_error: float | None
    image_error: float | None
    t_p: float | None
    t_p_holm: float | None
    sign_flip_p: float | None
    sign_flip_p_holm: float | None
    smallest_sign_flip_p: float | None
    equivalence_p: float | None
    equivalence_p_holm: float | None
    better_share: Interval | None
    energy_as_run: Interval | None
    energy_training: Interval | None
    verdict: DifferenceVerdict = "open"
    within_margin: bool = False
    repeats_to_settle: int | None = None

    def is_loss(self, metric: Metric) -> bool:
        """Return whether the mean of the strategy is worse than that of the baseline, established or not."""
        return self.difference is not None and self.difference.gain(metric).mean < 0


def paired_comparison(
    strategy: str, differences: Sequence[float], metric: Metric, margin: float, resolution: float
) -> BaselineComparison:
    """Compare a strategy with the baseline, without energies and single images, before any correction and verdict.

    Args:
        strategy: Name of the strategy.
        differences: Strategy minus baseline, for each common seed.
        metric: The metric.
        margin: Differences smaller than this do not matter.
        resolution: Smallest possible difference between two unequal values of the metric.
    """
    deviation = sample_std(differences, resolution)
    return BaselineComparison(
        strategy=strategy,
        difference=t_interval(differences, resolution),
        difference_std=deviation,
        bootstrap=paired_tests.bca_interval(differences),
        seed_error=None if deviation is None else deviation / math.sqrt(len(differences)),
        image_error=None,
        t_p=paired_tests.t_test_p(differences, resolution),
        t_p_holm=None,
        sign_flip_p=paired_tests.sign_flip_p(differences),
        sign_flip_p_holm=None,
        smallest_sign_flip_p=paired_tests.smallest_sign_flip_p(len(differences)) if differences else None,
        equivalence_p=paired_tests.equivalence_p(differences, margin, resolution),
        equivalence_p_holm=None,
        better_share=paired_tests.probability_of_improvement([metric.score(one) for one in differences]),
        energy_as_run=None,
        energy_training=None,
    )


def with_verdicts(
    compared: Sequence[BaselineComparison], metric: Metric, margin: float
) -> tuple[BaselineComparison, ...]:
    """Return all comparisons of a table with Holm's corrections over all of them, and with verdicts.

    Args:
        compared: The comparisons of the table.
        metric: The metric.
        margin: Differences smaller than this do not matter.
    """
    columns = (
        paired_tests.holm([getattr(one, name) for one in compared]) for name in ("t_p", "sign_flip_p", "equivalence_p")
    )
    corrected = [
        replace(one, t_p_holm=t_p, sign_flip_p_holm=sign_flip_p, equivalence_p_holm=equivalence_p)
        for one, t_p, sign_flip_p, equivalence_p in zip(compared, *columns, strict=True)
    ]
    return tuple(_judged(one, metric, margin, len(corrected)) for one in corrected)


def _judged(one: BaselineComparison, metric: Metric, margin: float, comparisons: int) -> BaselineComparison:
    """Return a comparison with its verdict."""
    difference, bootstrap = one.difference, one.bootstrap
    if difference is None or bootstrap is None or difference.n < FEWEST or one.t_p_holm is None:
        return one
    assert one.sign_flip_p is not None and one.equivalence_p_holm is not None
    differs = one.t_p_holm <= ALPHA and one.sign_flip_p <= ALPHA and not bootstrap.low <= 0 <= bootstrap.high
    within = one.equivalence_p_holm <= ALPHA and -margin < bootstrap.low and bootstrap.high < margin
    if differs:
        verdict: DifferenceVerdict = "better" if metric.score(difference.mean) > 0 else "worse"
        return replace(one, verdict=verdict, within_margin=within)
    if within:
        return replace(one, verdict="equivalent", within_margin=True)
    return replace(one, repeats_to_settle=_repeats_to_settle(one, margin, comparisons))


def _repeats_to_settle(one: BaselineComparison, margin: float, comparisons: int) -> int | None:
    assert one.difference is not None and one.difference_std is not None
    if not one.difference_std:
        return None
    needed = paired_tests.repeats_to_settle(one.difference.mean, one.difference_std, margin, comparisons)
    # The estimate is a probability: an open comparison needs at least one more repeat.
    return None if needed is None else max(needed, one.difference.n + 1)


def sample_std(values: Sequence[float], resolution: float = 0.0) -> float | None:
    """Return the sample standard deviation, at least the resolution; None for fewer than two values."""
    return deviation_of(values, resolution) if len(values) > 1 else None
