import math

import numpy as np
import pytest

from kdtune.errors import SpecError
from kdtune.specs.component import Component
from kdtune.specs.suggestion import Suggestion

POINTS = [
    {"tau": 4},
    {"tau": 0.5, "alpha": 0.9, "learning_rate": 0.1, "weight_decay": 0.0},
    {"tau": 4, "restart": 2},
    {"temperature": "stochastic"},
    {"temperature": "stochastic", "draw": "epoch", "scale": "log", "restart": 1},
    {"temperature": "not installed", "depth": [1, 2], "table": {"a": None}},
    {"loss": "ce"},
    {"loss": "ce", "longer": 1.5},
    {"loss": "not installed", "margin": 0.2, "tau": 3},
]


@pytest.mark.parametrize("point", POINTS, ids=str)
def test_a_point_is_unchanged_after_reading_and_writing(point):
    assert Suggestion.from_point(point).as_point() == point


def test_options_of_a_point_belong_to_its_component():
    assert Suggestion.from_point({"temperature": "a", "depth": 3}).temperature == Component(
        name="a", options={"depth": 3}
    )
    assert Suggestion.from_point({"loss": "b", "margin": 3}).method == Component(name="b", options={"margin": 3})


def test_integers_remain_integers_and_numpy_numbers_become_python_numbers():
    values = Suggestion.from_point({"tau": 4, "alpha": np.float32(0.5), "weight_decay": np.int64(0)}).values
    assert values == {"tau": 4, "alpha": 0.5, "weight_decay": 0.0}
    assert [type(value) for value in values.values()] == [int, float, float]


def test_all_faults_of_a_point_are_reported_at_once():
    with pytest.raises(SpecError) as caught:
        Suggestion.from_point({"tau": "hot", "longer": None, "restrat": 1})
    assert [fault.key for fault in caught.value.faults] == ["tau", "longer", "restrat"]


@pytest.mark.parametrize("point", [{"tau": math.nan}, {"restart": -1}, {"restart": 1.7}, {"longer": 0}])
def test_an_invalid_number_is_a_fault_of_the_point(point):
    with pytest.raises(SpecError, match="point"):
        Suggestion.from_point(point)
