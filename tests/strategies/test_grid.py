import pytest

from kdtune.errors import SpecError
from kdtune.specs import SearchSpace
from kdtune.strategies.grid import Grid


def grid(**space):
    return Grid(SearchSpace.model_validate(space), Grid.Options(), seed=0)


def test_it_tries_every_point_in_order():
    strategy = grid(tau={"low": 2, "high": 20, "step": 1})
    assert [one.as_point() for one in strategy.ask()] == [{"tau": tau} for tau in range(2, 21)]


def test_it_tries_every_combination():
    strategy = grid(tau={"values": [2, 4, 8]}, alpha={"values": [0.5, 1.0]})
    assert len(strategy.ask()) == 3 * 2


def test_a_space_that_cannot_be_enumerated_is_refused_by_dimension():
    with pytest.raises(SpecError) as caught:
        grid(tau={"low": 2, "high": 20}, alpha={"low": 0, "high": 1}, weight_decay={"values": [0]})
    assert [fault.key for fault in caught.value.faults] == ["search_space.tau", "search_space.alpha"]
