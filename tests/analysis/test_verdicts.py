import math

import pytest

from kdtune.analysis.verdicts import Interval, exceeds, lies_within, paired, t_interval


def test_the_t_interval_of_three_numbers_is_the_textbooks():
    interval = t_interval([1.0, 2.0, 3.0])  # deviation 1, t of 2 degrees of freedom 4.302653
    assert (interval.mean, interval.n) == (2.0, 3)
    assert interval.high - 2 == pytest.approx(4.302653 / math.sqrt(3), rel=1e-6)
    assert 2 - interval.low == pytest.approx(interval.high - 2)


@pytest.mark.parametrize("values", [[0.3], [0.1, 0.1], [0.3, 0.1 + 0.2, 0.3]])
def test_one_repeat_or_repeats_that_do_not_differ_bound_nothing(values):
    interval = t_interval(values)
    assert not interval.is_bounded
    assert interval.as_json() == {
        "mean": pytest.approx(values[0]),
        "low": None,
        "high": None,
        "n": len(values),
        "confidence": 0.95,
    }
    assert not interval.exponential().is_bounded


@pytest.mark.parametrize("least", [0.0, 2.0])
def test_a_verdict_does_not_turn_where_the_spread_falls_to_nothing(least):
    rise = [exceeds(t_interval([least] * 4 + [last], 1.0), above=0.0, below=1.0) for last in (least, least + 1)]
    assert rise[0] == rise[1] == ("supported" if least else "not settled")
    # Enough repeats settle it nevertheless.
    assert exceeds(t_interval([0.0] * 9, 1.0), above=0.0, below=1.0) == "contradicted"


def test_there_is_no_interval_of_nothing():
    assert t_interval([]) is None


def test_pairs_are_of_the_seeds_that_both_have():
    assert paired({0: 5.0, 2: 1.0, 1: 3.0}, {1: 1.0, 2: 2.0, 7: 9.0}) == [2.0, -1.0]


def test_the_interval_of_a_ratio_is_that_of_its_logarithm():
    interval = Interval(math.log(4), math.log(2), math.log(8), 5).exponential()
    assert (interval.mean, interval.low, interval.high) == pytest.approx((4, 2, 8))


@pytest.mark.parametrize(
    ("low", "high", "verdict"),
    [
        (-0.4, 0.5, "supported"),
        (-0.6, 0.1, "not settled"),
        (-9.0, 9.0, "not settled"),
        (0.6, 0.9, "contradicted"),
        (-2.0, -0.51, "contradicted"),
    ],
)
def test_a_match_is_supported_inside_the_margin_and_contradicted_outside(low, high, verdict):
    assert lies_within(Interval(0.0, low, high, 5), -0.5, 0.5) == verdict


@pytest.mark.parametrize(
    ("low", "high", "verdict"),
    [
        (0.1, 0.3, "supported"),  # small, and sure
        (-0.1, 0.3, "contradicted"),  # if anything, then too little to matter
        (-0.1, 0.6, "not settled"),
        (-3.0, -1.0, "contradicted"),
    ],
)
def test_a_gain_is_supported_above_zero_and_contradicted_where_it_cannot_matter(low, high, verdict):
    assert exceeds(Interval(0.1, low, high, 5), above=0.0, below=0.5) == verdict
