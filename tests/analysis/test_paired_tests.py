"""The tests of paired differences give the figures of published examples and of statsmodels."""

import pytest

from kdtune.analysis.paired_tests import (
    bca_interval,
    equivalence_p,
    holm,
    probability_of_improvement,
    repeats_to_settle,
    sign_flip_p,
    smallest_sign_flip_p,
    t_test_p,
)

#: Darwin's maize: cross-fertilised minus self-fertilised plants, in eighths of an inch (Fisher 1935).
MAIZE = [49, -67, 8, 16, 6, 23, 28, 41, 14, 29, 56, 24, 75, 60, -48]

#: Six differences whose equivalence statsmodels 0.15 judged with ``ttost_paired``.
SMALL = [0.004, -0.001, 0.002, 0.003, -0.002, 0.0015]


def test_darwins_maize_has_fishers_p_values():
    assert sign_flip_p(MAIZE) == pytest.approx(2 * 863 / 2**15, abs=1e-12)
    assert t_test_p(MAIZE) == pytest.approx(0.0497, abs=5e-5)


@pytest.mark.parametrize(("margin", "p"), [(0.005, 0.0053605506783925855), (0.003, 0.061858055941846686)])
def test_equivalence_is_that_of_statsmodels(margin, p):
    assert equivalence_p(SMALL, margin) == pytest.approx(p)


def test_holms_correction_is_that_of_statsmodels_and_leaves_unknown_values_out():
    assert holm([0.01, 0.04, None, 0.03, 0.005]) == pytest.approx([0.03, 0.06, None, 0.06, 0.02])
    assert holm([]) == [] and holm([None]) == [None]


@pytest.mark.parametrize(
    ("won", "n", "low", "high"), [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (1, 29, 0.0061, 0.1718)]
)
def test_the_probability_of_improvement_has_newcombes_intervals(won, n, low, high):
    interval = probability_of_improvement([1.0] * won + [-1.0] * (n - won))
    assert (interval.mean, interval.low, interval.high) == pytest.approx((won / n, low, high), abs=6e-5)


def test_a_tie_counts_half():
    assert probability_of_improvement([0.1, 0.0, -0.1, 0.0]).mean == 0.5


@pytest.mark.parametrize(("effect", "repeats"), [(0.2, 199), (0.5, 34), (1.0, 10)])
def test_the_number_of_repeats_is_that_of_statsmodels_power_of_the_t_test(effect, repeats):
    assert repeats_to_settle(effect, 1.0, margin=1e-9) == repeats


def test_more_comparisons_and_a_margin_change_the_number_of_repeats():
    assert repeats_to_settle(1.0, 1.0, 1e-9, comparisons=5) > 10
    # Without a difference, only equivalence can be established: at a margin of one deviation, by 11 repeats.
    assert repeats_to_settle(0.0, 1.0, margin=1.0) == 11
    assert repeats_to_settle(0.5, 20.0, margin=0.5) is None
    # However clear the difference, an exact test of five repeats cannot be significant.
    assert repeats_to_settle(100.0, 1.0, margin=1e-9) == 6


def test_few_repeats_cannot_be_significant_in_an_exact_test():
    assert [smallest_sign_flip_p(n) for n in (1, 3, 5, 6)] == [1.0, 0.25, 0.0625, 0.03125]
    assert sign_flip_p([1.0, 1.1, 0.9]) == 0.25
    assert sign_flip_p([1.0, 1.1, 0.9, 1.2, 0.8, 1.0]) == 0.03125


def test_the_bootstrap_interval_is_reproducible_and_asymmetric_for_skewed_differences():
    first, again = bca_interval([0, 0, 0, 1, 1, 10]), bca_interval([0, 0, 0, 1, 1, 10])
    assert first == again
    assert first.low < first.mean == 2 < first.high and first.high - 2 > 2 - first.low


def test_too_few_or_equal_observations_are_no_error():
    assert (bca_interval([]), sign_flip_p([]), t_test_p([]), probability_of_improvement([])) == (None,) * 4
    assert not bca_interval([0.1]).is_bounded
    assert (sign_flip_p([0.1]), t_test_p([0.1]), equivalence_p([0.1], 0.5)) == (1.0, None, None)
    equal = bca_interval([0.1, 0.1, 0.1])
    assert equal.low == equal.high == pytest.approx(0.1)
    assert t_test_p([0.1, 0.1, 0.1]) is None
    # The resolution replaces the missing deviation, so t is the square root of 3 with 2 degrees of freedom.
    assert t_test_p([0.1, 0.1, 0.1], resolution=0.1) == pytest.approx(0.2254, abs=5e-5)
