import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from kdtune.specs import Dimension, SearchSpace


def space(**dimensions):
    return SearchSpace.model_validate(dimensions)


def test_the_points_go_from_low_to_high_with_both_ends():
    assert Dimension(low=2, high=20, step=1).points() == list(range(2, 21))


def test_integers_stay_integers():
    assert [type(point) for point in Dimension(low=2, high=4, step=1).points()] == [int, int, int]


def test_a_high_end_off_the_step_is_left_out():
    assert Dimension(low=1, high=10, step=4).points() == [1, 5, 9]


def test_a_step_that_a_float_cannot_hold_does_not_lose_the_last_point():
    assert Dimension(low=0.1, high=0.7, step=0.1).points() == pytest.approx([0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7])


def test_a_step_wider_than_the_range_leaves_the_low_end():
    assert Dimension(low=2, high=5, step=10).points() == [2]


def test_equal_ends_are_one_point_without_a_step():
    assert Dimension(low=4, high=4).points() == [4]


def test_listed_values_keep_their_order():
    assert Dimension(values=(8, 2, 4)).points() == [8, 2, 4]


def test_the_bounds_of_listed_values_are_the_least_and_the_greatest():
    assert Dimension(values=(8, 2, 4)).bounds == (2, 8)


RANGES = st.builds(
    lambda low, length, step, unit: (
        Dimension(low=low * unit, high=(low + length) * unit, step=step * unit),
        length // step + 1,
    ),
    st.integers(1, 1000),
    st.integers(0, 1000),
    st.integers(1, 300),
    st.sampled_from([1, 0.1, 0.01]),
)


@given(RANGES)
def test_points_ascend_from_low_and_none_is_lost_to_rounding(case):
    dimension, count = case
    points = dimension.points()
    assert points[0] == dimension.low
    assert points == sorted(set(points))
    assert len(points) == count


@given(RANGES)
def test_points_never_leave_the_bounds(case):
    dimension, _ = case
    assert dimension.points()[-1] <= dimension.high


def test_a_grid_of_alpha_never_exceeds_one():
    # A float above 1 by one unit in the last place gives the labels a negative weight.
    assert max(space(tau={"low": 4, "high": 4}, alpha={"low": 0.09, "high": 1.0, "step": 0.07})["alpha"].points()) <= 1


def test_an_interval_without_a_step_is_not_finite_and_has_no_points():
    interval = Dimension(low=2, high=20)
    assert not interval.is_finite
    with pytest.raises(ValueError, match="step"):
        interval.points()


@pytest.mark.parametrize("dimension", [{"low": 2, "high": 3, "step": 1}, {"low": 2, "high": 2}, {"values": [2, 3]}])
def test_a_dimension_that_can_be_enumerated_is_finite(dimension):
    assert Dimension(**dimension).is_finite


def test_points_weigh_the_same_without_log():
    assert Dimension(low=2, high=4, step=1).weights() == [1, 1, 1]


def test_points_weigh_their_reciprocal_with_log():
    assert Dimension(low=2, high=4, step=1, log=True).weights() == [1 / 2, 1 / 3, 1 / 4]


@pytest.mark.parametrize(
    ("table", "complaint"),
    [
        ({}, "needs 'low' and 'high'"),
        ({"low": 2}, "needs 'low' and 'high'"),
        ({"low": 5, "high": 2}, "greater than high"),
        ({"low": 2, "high": 20, "step": 0}, "greater than 0"),
        ({"low": 2, "high": 20, "step": -1}, "greater than 0"),
        ({"low": 2, "values": [2]}, "not both"),
        ({"step": 1, "values": [2]}, "not both"),
        ({"values": []}, "empty"),
        ({"values": [2, 3, 2]}, "twice"),
        ({"low": 0, "high": 2, "log": True}, "greater than 0"),
        ({"values": [-1, 2], "log": True}, "greater than 0"),
        ({"low": 2, "high": math.inf}, "finite"),
        ({"low": math.nan, "high": 2}, "finite"),
        ({"values": [math.inf]}, "finite"),
        ({"low": "2", "high": 20}, "number"),
        ({"low": True, "high": 20}, "number"),
        ({"low": 2, "high": 20, "stp": 1}, "[Ee]xtra"),
    ],
)
def test_an_invalid_dimension_is_refused(table, complaint):
    with pytest.raises(ValidationError, match=complaint):
        Dimension.model_validate(table)


def test_a_value_that_is_not_a_number_is_refused_under_every_key():
    with pytest.raises(ValidationError):
        Dimension(values=(2, math.nan))


def test_an_infinite_step_is_refused():
    with pytest.raises(ValidationError):
        Dimension(low=2, high=20, step=math.inf)


@pytest.mark.parametrize(
    "dimensions",
    [
        {},
        {"tau": {"low": 0, "high": 20}},
        {"tau": {"values": [-1, 4]}},
        {"learning_rate": {"low": 0, "high": 1}},
        {"alpha": {"low": 0, "high": 1.5}},
        {"alpha": {"low": -0.5, "high": 1}},
        {"weight_decay": {"low": -1, "high": 1}},
    ],
)
def test_values_that_no_training_can_use_are_refused(dimensions):
    with pytest.raises(ValidationError):
        SearchSpace.model_validate(dimensions)


def test_the_ends_of_the_valid_range_are_allowed():
    assert space(alpha={"low": 0, "high": 1}, weight_decay={"low": 0, "high": 1}, tau={"low": 1e-3, "high": 1e3})


def test_the_grid_has_every_combination_the_last_dimension_fastest():
    grid = space(tau={"values": [2, 4]}, alpha={"values": [0.1, 0.9]}).points()
    assert grid == [
        {"tau": 2, "alpha": 0.1},
        {"tau": 2, "alpha": 0.9},
        {"tau": 4, "alpha": 0.1},
        {"tau": 4, "alpha": 0.9},
    ]


def test_one_interval_makes_the_whole_space_infinite():
    assert not space(tau={"low": 2, "high": 20, "step": 1}, alpha={"low": 0, "high": 1}).is_finite
    assert space(tau={"low": 2, "high": 20, "step": 1}, alpha={"values": [0.5]}).is_finite


def test_dimensions_are_accessed_by_name():
    both = space(tau={"low": 4, "high": 4}, alpha={"low": 1, "high": 1})
    assert list(both) == ["tau", "alpha"]
    assert "tau" in both
    assert "learning_rate" not in both
    assert both["alpha"].points() == [1]


def test_a_space_cannot_be_changed():
    with pytest.raises(ValidationError):
        space(tau={"low": 2, "high": 4})["tau"].low = 1
