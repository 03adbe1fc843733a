import pytest

from kdtune.report.number_formats import amount, describe_choice, describe_point, duration, percent, ratio, significant


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "-"),
        (0, "0"),
        (0.000223456, "0.000223"),
        (0.0000223456, "2.23e-05"),
        (0.1, "0.1"),
        (12.3456, "12.3"),
        (1234.5, "1230"),
        (123456.0, "123000"),
        (2.5e9, "2.50e+09"),
    ],
)
def test_figures_keep_three_digits_and_avoid_exponents_where_they_can(value, text):
    assert significant(value) == text


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (None, "-"),
        (0, "0"),
        (12.34, "12.3"),
        (999, "999"),
        (12_345, "12,300"),
        (999_499, "999,000"),
        (1_000_000, "1 million"),
        (557_123_456, "557 million"),
        (2_226_700_000, "2.23 billion"),
        (4.5e13, "45 trillion"),
    ],
)
def test_large_counts_are_written_in_words(count, text):
    assert amount(count) == text


def test_a_fraction_becomes_a_percentage_with_its_deviation():
    assert percent(0.8756) == "87.6"
    assert percent(0.8756, 0.0123) == "87.6 +- 1.2"
    assert percent(None, None) == "-"


def test_ratios_keep_two_decimals_below_ten():
    assert [ratio(1.0), ratio(9.999), ratio(19.24), ratio(None)] == ["1.00 x", "10.00 x", "19.2 x", "-"]


@pytest.mark.parametrize(("seconds", "text"), [(0, "0:00"), (42.4, "0:42"), (725, "12:05"), (11220, "3:07:00")])
def test_durations_are_written_like_a_clock(seconds, text):
    assert duration(seconds) == text


@pytest.mark.parametrize(
    ("point", "text"),
    [
        ({"tau": 4, "temperature": "instance", "beta": 3}, "instance 4 beta=3"),
        ({"tau": 4, "temperature": "fixed"}, "4"),
        ({"tau": 4}, "4"),
        ({"tau": 2.5, "alpha": 0.9}, "2.5 alpha=0.9"),
        ({"temperature": "stochastic"}, "random"),
        ({"temperature": "/home/ada/tau.py:Own", "steps": [2, 4], "sure": 6.0}, "tau.py:Own steps=[2, 4] sure=6"),
        ({"loss": "ce"}, "-"),
        (None, "-"),
    ],
)
def test_a_point_is_written_briefly(point, text):
    assert describe_point(point) == text


@pytest.mark.parametrize(
    ("point", "text"),
    [
        ({"temperature": "stochastic", "draw": "epoch", "scale": "log"}, "random draw=epoch scale=log"),
        ({"temperature": "stochastic", "space": {"low": 2, "high": 20.0}}, "random space=(low=2, high=20)"),
        ({"tau": 4, "restart": 2}, "4 restart=2"),
        ({"loss": "ce", "longer": 16.6211}, "- longer=16.6211"),
    ],
)
def test_what_a_control_changes_is_named(point, text):
    assert describe_point(point) == text


def test_a_choice_has_no_number_of_a_restart():
    assert describe_choice({"tau": 4, "alpha": 0.9, "restart": 2}) == "4 alpha=0.9"
    assert describe_choice({"loss": "ce", "restart": 2}) == describe_choice(None) == "-"
