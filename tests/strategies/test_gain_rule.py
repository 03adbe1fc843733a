"""A search ends once another training is not expected to be worth its energy."""

import statistics

import pytest
from scipy.integrate import quad
from scipy.stats import norm

from kdtune.catalog.builtin import STRATEGIES
from kdtune.errors import SpecError
from kdtune.specs import SearchSpace, load_study
from kdtune.strategies.base import Outcome
from kdtune.strategies.gain_rule import expected_gain
from tests.studies import small_study

SPACE = SearchSpace.model_validate({"tau": {"low": 2, "high": 20, "step": 1}})


@pytest.mark.parametrize("scores", [[0.5, 0.6, 0.55, 0.7], [0.7, 0.7, 0.7, 0.71], [-1.0, -3.0]])
def test_the_expected_gain_is_the_mean_excess_of_a_normal_draw(scores):
    best, deviation = max(scores), statistics.stdev(scores)
    drawn = norm(statistics.fmean(scores), deviation)
    mean, _ = quad(lambda value: (value - best) * drawn.pdf(value), best, best + 12 * deviation)
    assert expected_gain(scores) == pytest.approx(mean, rel=1e-6)


def test_equal_scores_promise_no_gain():
    assert expected_gain([0.5, 0.5, 0.5]) == 0


def run(name, score_of, **options):
    """Return how many points a search with the given scores trains."""
    strategy = STRATEGIES.load(name).from_table(SPACE, {"trials": 12, **options}, 0)
    count = 0
    while suggestions := strategy.ask():
        strategy.tell([Outcome(one, score_of(count + place), 1.0) for place, one in enumerate(suggestions)])
        count += len(suggestions)
    return count


@pytest.mark.parametrize("name", ["random", "optuna"])
def test_a_search_ends_when_the_gain_is_not_worth_its_energy(name):
    spread = [0.5, 0.6, 0.52, 0.61, 0.7, 0.5, 0.69, 0.7, 0.5, 0.6, 0.7, 0.7].__getitem__
    assert run(name, spread) == 12  # without a rule
    assert run(name, lambda _: 0.5, min_gain_per_kwh=1.0, training_kwh=0.001) == 4
    assert run(name, lambda _: None, min_gain_per_kwh=1.0, training_kwh=0.001) == 12  # failures say nothing
    cheap, dear = (run(name, spread, min_gain_per_kwh=1.0, training_kwh=kwh) for kwh in (0.001, 0.03))
    assert 4 <= dear < cheap == 12


def test_points_are_those_of_the_search_without_the_rule():
    plain, early = (
        STRATEGIES.load("random").from_table(SPACE, options, 3)
        for options in ({}, {"min_gain_per_kwh": 1.0, "training_kwh": 1.0, "round_size": 3})
    )
    assert early.ask() == plain.ask()[:3] and early.planned() is None and plain.planned() is not None


def test_the_rule_needs_both_numbers():
    with pytest.raises(SpecError, match="training_kwh need each other; --dry-run shows"):
        load_study(small_study(strategies={"random": {"min_gain_per_kwh": 1.0}}))
