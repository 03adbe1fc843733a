"""Successive halving on restarts: the best mean wins, not the best training."""

from kdtune.specs.search_space import SearchSpace
from kdtune.strategies.base import Outcome
from kdtune.strategies.successive_halving import Options, SuccessiveHalving

NINE = SearchSpace.model_validate({"tau": {"low": 2, "high": 10, "step": 1}})


def play(score, **options):
    """Return the strategy at its end, and the points and restarts of each rung."""
    strategy = SuccessiveHalving(NINE, Options(**options), 0)
    rungs = []
    while suggestions := strategy.ask():
        rungs.append([(one.values["tau"], one.restart) for one in suggestions])
        scores = [score(*pair) for pair in rungs[-1]]
        told = zip(suggestions, scores, strict=True)
        strategy.tell([Outcome(one, None, None if value is None else 1.0, value) for one, value in told])
    return strategy, rungs


def test_each_rung_trains_fewer_points_more_often():
    strategy, (first, second, third) = play(lambda tau, restart: -abs(tau - 7))
    assert first == [(tau, 0) for tau in range(2, 11)]
    assert second == [(tau, restart) for tau in (6, 7, 8) for restart in (1, 2)]
    assert third == [(7, restart) for restart in range(3, 9)]
    assert strategy.expected_trials() == len([*first, *second, *third])


def test_a_lucky_training_does_not_win():
    """Point 3 is best once and poor otherwise; point 7 is good on average."""

    def score(tau, restart):
        return 0.9 if (tau, restart) == (3, 0) else {3: 0.3, 7: 0.6 + restart / 100}.get(tau, 0.1)

    strategy, rungs = play(score, rungs=2)
    assert {tau for tau, _ in rungs[1]} >= {3, 7}
    choice = strategy.choice()
    assert (choice.values["tau"], choice.restart) == (7, 2)


def test_a_point_with_a_failed_training_loses_to_one_without():
    strategy, _ = play(lambda tau, restart: None if (tau, restart) == (7, 1) else -abs(tau - 7))
    assert strategy.choice().values["tau"] == 6
    strategy, _ = play(lambda tau, restart: None if restart else -abs(tau - 7))
    assert strategy.choice().values["tau"] == 7 and strategy.choice().restart == 0
    strategy, _ = play(lambda tau, restart: None)
    assert strategy.choice() is None


def test_some_points_may_be_drawn():
    _, rungs = play(lambda tau, restart: tau, trials=4, reduction=2, rungs=3)
    assert [len(rung) for rung in rungs] == [4, 2, 2]
