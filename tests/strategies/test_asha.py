"""Successive halving with synchronous rungs."""

import pytest

from kdtune.errors import SpecError
from kdtune.specs.search_space import SearchSpace
from kdtune.strategies.asha import Asha, Options
from kdtune.strategies.base import Outcome

NINETEEN = SearchSpace.model_validate({"tau": {"low": 2, "high": 20, "step": 1}})


def play(strategy, score=lambda tau: -abs(tau - 9)):
    """The rungs: pairs of tau and the part of the epochs."""
    rungs = []
    while suggestions := strategy.ask():
        rungs.append([(one.values["tau"], one.until) for one in suggestions])
        outcomes = [score(one.values["tau"]) for one in suggestions]
        told = zip(suggestions, outcomes, strict=True)
        strategy.tell([Outcome(one, None, None if value is None else 1.0, value) for one, value in told])
    return rungs


def test_a_third_goes_on_three_times_as_long_and_the_last_rung_to_the_end():
    first, second, third = play(Asha(NINETEEN, Options(), 0))
    assert [tau for tau, _ in first] == list(range(2, 21)) and {until for _, until in first} == {3**-2}
    assert sorted(tau for tau, _ in second) == [6, 7, 8, 9, 10, 11]
    assert {until for _, until in second} == {3**-1}
    assert third == [(8, 1.0), (9, 1.0)]


def test_trials_are_drawn_reduced_and_counted_by_the_options():
    strategy = Asha(NINETEEN, Options(trials=8, reduction=2, rungs=2), 3)
    assert strategy.expected_trials() == 8
    first, last = play(strategy)
    assert [len(first), len(last)] == [8, 4] and {until for _, until in first} == {0.5}
    assert play(Asha(NINETEEN, Options(trials=8, reduction=2, rungs=2), 3)) == [first, last]
    assert play(Asha(NINETEEN, Options(trials=8, reduction=2, rungs=2), 4))[0] != first


def test_failed_trials_do_not_go_on_and_at_least_one_trial_does():
    rungs = play(Asha(NINETEEN, Options(reduction=10, rungs=3), 0), lambda tau: None if tau < 10 else tau)
    assert [len(rung) for rung in rungs] == [19, 1, 1]
    assert play(Asha(NINETEEN, Options(), 0), lambda tau: None)[1:] == []


def test_ties_are_broken_by_the_loss_and_then_by_the_order():
    strategy = Asha(NINETEEN, Options(reduction=19, rungs=2), 0)
    suggestions = strategy.ask()
    strategy.tell([Outcome(one, 0.5, 1.0 if one.values["tau"] != 7 else 0.9) for one in suggestions])
    assert [one.values["tau"] for one in strategy.ask()] == [7]


def test_an_open_space_needs_a_number_of_trials():
    interval = SearchSpace.model_validate({"tau": {"low": 2, "high": 20}})
    with pytest.raises(SpecError, match="asha without 'trials'"):
        Asha(interval, Options(), 0)
    assert len(Asha(interval, Options(trials=5), 0).ask()) == 5


@pytest.mark.parametrize(("epochs", "options"), [(30, {}), (3, {"rungs": 4}), (20, {"trials": 5, "reduction": 2})])
def test_the_expected_epochs_are_those_that_are_trained(epochs, options):
    strategy = Asha(NINETEEN, Options(**options), 0)
    trained: dict[str, int] = {}
    expected = strategy.expected_epochs(epochs)
    while suggestions := strategy.ask():
        for one in suggestions:
            key = str(one.values)
            trained[key] = max(trained.get(key, 0), max(1, round(one.until * epochs)))
        strategy.tell([Outcome(one, 0.5, 1.0) for one in suggestions])
    assert expected == sum(trained.values())
