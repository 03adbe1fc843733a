import math
from collections import Counter

import pytest
from pydantic import ValidationError

from kdtune.specs import SearchSpace
from kdtune.strategies.random import Random
from tests.recipes import points_of

TAU = {"low": 2, "high": 20, "step": 1}
SEEDS = 3000


def draw(trials, seed=0, **space):
    options = Random.Options(trials=trials)
    return points_of(Random(SearchSpace.model_validate(space), options, seed).ask())


def firsts(**dimension):
    """How often each tau comes first, over many seeds."""
    return Counter(draw(1, seed, tau=dimension)[0]["tau"] for seed in range(SEEDS))


def is_near(count, share):
    """Within five standard deviations of a binomial count."""
    return abs(count - SEEDS * share) < 5 * math.sqrt(SEEDS * share * (1 - share))


def test_it_draws_ten_points_by_default():
    assert Random.Options().trials == 10


@pytest.mark.parametrize("trials", [1, 7, 19])
def test_it_draws_the_given_number_of_points(trials):
    assert len(draw(trials, tau=TAU)) == trials


def test_all_points_of_a_space_with_fewer_points_are_drawn():
    assert sorted(point["tau"] for point in draw(100, tau=TAU)) == list(range(2, 21))


def test_the_given_number_of_points_is_drawn_from_an_infinite_space():
    points = draw(50, tau={"low": 2, "high": 20})
    assert len({point["tau"] for point in points}) == 50


def test_more_trials_begin_with_the_same():
    assert draw(12, tau=TAU)[:5] == draw(5, tau=TAU)


def test_another_seed_draws_others():
    assert draw(10, seed=0, tau=TAU) != draw(10, seed=1, tau=TAU)


def test_points_are_drawn_evenly():
    counts = firsts(values=[2, 4, 8, 16])
    assert all(is_near(counts[tau], 1 / 4) for tau in (2, 4, 8, 16))


def test_a_logarithmic_space_draws_in_proportion_to_the_reciprocal():
    # Weights 1/2, 1/4 and 1/8 are shares of 4/7, 2/7 and 1/7.
    counts = firsts(values=[2, 4, 8], log=True)
    assert is_near(counts[2], 4 / 7)
    assert is_near(counts[4], 2 / 7)
    assert is_near(counts[8], 1 / 7)


def test_large_values_are_drawn_in_proportion_too():
    counts = firsts(values=[1000, 2000, 4000], log=True)
    assert is_near(counts[1000], 4 / 7)


def test_a_logarithmic_interval_is_drawn_evenly_in_the_logarithm():
    points = draw(SEEDS, tau={"low": 1, "high": 100, "log": True})
    assert is_near(sum(point["tau"] < 10 for point in points), 1 / 2)


def test_an_interval_is_drawn_evenly():
    points = draw(SEEDS, tau={"low": 0.5, "high": 20.5})
    assert is_near(sum(point["tau"] < 5.5 for point in points), 1 / 4)


@pytest.mark.parametrize("trials", [0, -1, 2.5, "many"])
def test_an_invalid_number_of_trials_is_refused(trials):
    with pytest.raises(ValidationError):
        Random.Options(trials=trials)
