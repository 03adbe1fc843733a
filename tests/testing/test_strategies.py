"""The conformance suite of strategies refuses those that break a rule, and says which."""

import random

import pytest
from pydantic import BaseModel

from kdtune.specs.component import Component
from kdtune.specs.suggestion import Suggestion
from kdtune.strategies.base import OneRound, Strategy
from kdtune.testing.strategies import StrategyConformance
from tests.testing.refusal import refuses


class Listed(OneRound):
    def suggestions(self):
        return [Suggestion(values={"tau": tau}) for tau in self.taus()]


class OutOfTheSpace(Listed):
    def taus(self):
        return [1000]


class OfTheBounds(Listed):
    def taus(self):
        return sorted({*self.space["tau"].bounds})


class Twice(Listed):
    def taus(self):
        return [self.space["tau"].bounds[0]] * 2


class Drawn(Listed):
    def taus(self):
        return [random.uniform(*self.space["tau"].bounds)]


class Nothing(Listed):
    def taus(self):
        return []


class Endless(Strategy):
    def ask(self):
        return [Suggestion(values={"tau": 4})]


class Talkative(OfTheBounds):
    def expected_trials(self):
        return 1


class IgnoringFailures(Strategy):
    """Breaks where a training fails."""

    left = 2

    def ask(self):
        self.left -= 1
        return [Suggestion(values={"tau": 4})] if self.left >= 0 else []

    def tell(self, outcomes):
        assert all(one.val_accuracy > 0 for one in outcomes)


class AnyOption(OfTheBounds):
    class Options(BaseModel):
        """Ignores what it does not know."""


class Stopping(OfTheBounds):
    def report(self, suggestion, epoch, score):
        return False


@pytest.mark.parametrize(
    ("strategy", "check", "message", "arguments"),
    [
        (BaseModel, "test_it_follows_the_protocol", "derived from .*Strategy", ()),
        (AnyOption, "test_an_unknown_option_is_refused", "accepts an unknown option", ()),
        (OutOfTheSpace, "test_points_lie_in_the_space", "tau = 1000 is not within 2 and 20", ()),
        (OfTheBounds, "test_points_lie_in_the_space", "end off the step: tau = 12 is no point", ()),
        (Twice, "test_no_point_of_a_finite_space_is_suggested_twice", "a point is suggested twice", ()),
        (Drawn, "test_the_same_seed_suggests_the_same", "suggest different points", ()),
        (Drawn, "test_it_leaves_the_global_generators_alone", "draws from a global generator", ()),
        (Nothing, "test_it_suggests_something_and_then_ends", "nothing is suggested", ()),
        (Endless, "test_it_suggests_something_and_then_ends", "does not end after 1,000 rounds", ()),
        (Talkative, "test_it_suggests_no_more_than_it_announces", "announced 1 trials, but 2 came", ()),
        (Stopping, "test_a_strategy_that_does_not_judge_epochs_stops_no_trial", "set judges_epochs", ()),
        (Drawn, "test_a_resumed_study_goes_on_with_the_same_suggestions", "resumed after 0 rounds", ()),
    ],
)
def test_a_faulty_strategy_is_refused(strategy, check, message, arguments):
    refuses(StrategyConformance, check, strategy, message, *arguments)


def test_a_strategy_that_breaks_where_a_training_fails_is_refused():
    component = Component(name=f"{__name__}:IgnoringFailures")
    with pytest.raises(TypeError):
        StrategyConformance().test_it_goes_on_when_trainings_fail(component, 0)
