"""What every strategy has to satisfy.

A test module of one's own has a class that names the strategy, and inherits all tests::

    from kdtune.testing.strategies import StrategyConformance


    class TestMine(StrategyConformance):
        component = {"ref": "my_package.my_module:Mine", "trials": 3}
"""

import json
import pickle
import random
from collections.abc import Callable, Iterator
from math import isfinite
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from kdtune.catalog.builtin import STRATEGIES
from kdtune.errors import SpecError
from kdtune.specs import load_study
from kdtune.specs.component import Component
from kdtune.specs.search_space import SearchSpace
from kdtune.specs.suggestion import Suggestion
from kdtune.specs.trial_spec import TrialSpec
from kdtune.strategies.base import MAX_TRIALS, Outcome, Strategy
from kdtune.strategies.equal_cost import DistillationCost, EqualCost
from kdtune.testing.component_under_test import ComponentConformance
from kdtune.training.resolution import resolved_trial

#: Search spaces that can be enumerated; every strategy accepts them.
FINITE = {
    "steps": {"tau": {"low": 2, "high": 20, "step": 1}},
    "logarithmic": {"tau": {"low": 2, "high": 20, "step": 1, "log": True}},
    "listed": {"tau": {"values": [4, 1, 9.5]}},
    "one point": {"tau": {"low": 4, "high": 4}},
    "tenths": {"tau": {"low": 0.1, "high": 1.2, "step": 0.1}},
    "end off the step": {"tau": {"low": 1, "high": 12, "step": 3}},
    "two dimensions": {"tau": {"values": [2, 4, 8]}, "alpha": {"low": 0.5, "high": 1.0, "step": 0.25}},
}

#: Search spaces with intervals, which a strategy may refuse.
INFINITE = {
    "interval": {"tau": {"low": 2, "high": 20}},
    "logarithmic interval": {"tau": {"low": 2, "high": 20, "log": True}},
    "half an interval": {"tau": {"values": [2, 4]}, "learning_rate": {"low": 1e-3, "high": 1.0, "log": True}},
}

#: What a strategy is told of a suggestion.
Judge = Callable[[Suggestion], Outcome]


class StrategyConformance(ComponentConformance):
    """Tests of one strategy; a subclass has the attribute ``component`` or the fixture ``strategy``.

    Attributes:
        ignores_space: Whether the strategy may suggest values outside the search space.
        may_repeat: Whether it may suggest a point again, which is then answered from its record.
    """

    ignores_space: ClassVar[bool] = False
    may_repeat: ClassVar[bool] = False

    @pytest.fixture
    def strategy(self) -> Component:
        """The strategy by reference, with its options."""
        return self.named("strategy")

    def test_it_follows_the_protocol(self, strategy: Component) -> None:
        """A strategy is a class derived from the base class."""
        kind = STRATEGIES.load(strategy.name)
        assert isinstance(kind, type) and issubclass(kind, Strategy), (
            f"{strategy.name} has to be a class derived from kdtune.strategies.base.Strategy, but is {kind}"
        )

    def test_an_unknown_option_is_refused(self, strategy: Component) -> None:
        """A misspelt option is an error, not ignored."""
        options = {**strategy.options, "no_such_option": 1}
        try:
            STRATEGIES.load(strategy.name).options_model(strategy.options).model_validate(options)
        except ValidationError:
            return
        pytest.fail("Options accepts an unknown option; derive it from kdtune.strategies.base.NoOptions")

    def test_an_unknown_option_in_a_study_is_named(self, strategy: Component) -> None:
        """A study with a misspelt option is refused with one message, which names the option."""
        table = {"strategy": strategy.name, **strategy.options, "no_such_option": 1}
        study = load_study("digits-hkd").model_dump(mode="json", exclude_none=True, exclude_defaults=True)
        with pytest.raises(SpecError) as refused:
            load_study({**study, "strategies": {"mine": table}})
        assert [fault.key for fault in refused.value.faults] == ["strategies.mine.no_such_option"], (
            f"expected is one message on strategies.mine.no_such_option, but found are: {refused.value}"
        )

    def test_it_suggests_something_and_then_ends(self, strategy: Component) -> None:
        """There is a suggestion in every space that can be enumerated, and the end is final."""
        for label, made in _in_every_space(strategy):
            assert proposed(made), f"{label}: nothing is suggested"
            assert made.ask() == made.ask() == [], f"{label}: ask() returns suggestions after it returned an empty list"

    def test_the_same_seed_suggests_the_same(self, strategy: Component) -> None:
        """Suggestions depend on the seed, and on no global generator."""
        for label, made in _in_every_space(strategy, seed=3):
            first = rounds(made)
            random.seed(1)
            np.random.seed(1)
            assert rounds(_again(made, strategy)) == first, (
                f"{label}: two strategies with one seed suggest different points; draw from a generator of your own "
                "that is made from self.seed"
            )

    def test_the_same_outcomes_lead_to_the_same_points(self, strategy: Component) -> None:
        """What a strategy learns depends on the outcomes alone."""
        first, second = (rounds(new(strategy), _better_when_cool) for _ in range(2))
        assert first == second, "two strategies with one seed and the same outcomes suggest different points"

    def test_it_leaves_the_global_generators_alone(self, strategy: Component) -> None:
        """Other random numbers of the program do not depend on the strategy."""
        before = _global_states()
        proposed(new(strategy, FINITE["logarithmic"]))
        assert _global_states() == before, (
            "the strategy draws from a global generator; make one of your own from self.seed"
        )

    def test_points_lie_in_the_space(self, strategy: Component) -> None:
        """Values are finite numbers, within the bounds, and points of a space that has some."""
        for label, made in _in_every_space(strategy):
            for point in (suggestion.values for suggestion in proposed(made)):
                assert all(isfinite(value) for value in point.values()), (
                    f"{label}: {point} has a value that is not finite"
                )
                for key in set(point) & set(made.space) if not self.ignores_space else ():
                    dimension = made.space[key]
                    low, high = dimension.bounds
                    assert low <= point[key] <= high, f"{label}: {key} = {point[key]} is not within {low} and {high}"
                    assert not dimension.is_finite or point[key] in dimension.points(), (
                        f"{label}: {key} = {point[key]} is no point of the space; its points are {dimension.points()}"
                    )

    def test_every_suggestion_is_a_training(self, strategy: Component) -> None:
        """A suggestion has all that a training needs, and can be sent to another process."""
        study = load_study("digits-hkd")
        for label, made in _in_every_space(strategy):
            within = study.model_copy(update={"search_space": made.space})
            for suggestion in proposed(made):
                spec = resolved_trial(within, suggestion, 0)
                assert TrialSpec.model_validate(json.loads(spec.model_dump_json())) == spec, (
                    f"{label}: the training of {suggestion} changes when it is written to JSON and read again"
                )
                assert pickle.loads(pickle.dumps(suggestion)) == suggestion, (
                    f"{label}: {suggestion} changes when it is pickled"
                )

    def test_options_without_an_open_cost_need_no_cost(self, strategy: Component) -> None:
        """A strategy whose length depends on a cost waits for that cost only if its options refer to it."""
        kind = STRATEGIES.load(strategy.name)
        if not issubclass(kind, EqualCost):
            pytest.skip("the length of the strategy does not depend on a cost")
        settled = kind.settled(strategy.options, DistillationCost(flops=2.0, energy=1.5))
        assert settled == strategy.options, f"settled() changes options that are settled: {settled}"
        assert not kind.waits_for_energy(strategy.options), "waits_for_energy() is true of options that are settled"

    def test_suggestions_survive_being_written_down_as_points(self, strategy: Component) -> None:
        """Results store suggestions as flat tables, from which a resumed study reads them."""
        for label, made in _in_every_space(strategy):
            suggestions = proposed(made)
            # How far a training goes for now does not belong to its point.
            whole = [suggestion.model_copy(update={"until": 1.0}) for suggestion in suggestions]
            again = _read_again(suggestions)
            assert again == whole, f"{label}: suggestions change in JSON: {whole}, {again}"

    def test_no_point_of_a_finite_space_is_suggested_twice(self, strategy: Component) -> None:
        """Each training of a strategy is another one."""
        if self.may_repeat:
            pytest.skip("the strategy may come back to a point")
        for label, space in FINITE.items():
            points = [json.dumps(one.as_point(), sort_keys=True) for one in proposed(new(strategy, space))]
            assert len(set(points)) == len(points), f"{label}: a point is suggested twice in {points}"

    def test_it_suggests_no_more_than_it_announces(self, strategy: Component) -> None:
        """Plans and budgets rely on expected_trials() as the largest number of trials, which asking does not change."""
        for label, made in _in_every_space(strategy):
            announced = made.expected_trials()
            suggestions = proposed(made)
            points = {json.dumps(one.as_point(), sort_keys=True) for one in suggestions}
            count = len(points if made.has_rungs else suggestions)  # a trial that goes on is suggested again
            assert 1 <= announced <= MAX_TRIALS, f"{label}: expected_trials() is {announced}"
            assert count <= announced, f"{label}: expected_trials() announced {announced} trials, but {count} came"
            assert len(suggestions) == len(proposed(_again(made, strategy))), (
                f"{label}: expected_trials() changes what follows"
            )

    @pytest.mark.parametrize("seed", range(3))
    def test_it_goes_on_when_trainings_fail(self, strategy: Component, seed: int) -> None:
        """A strategy comes to its end whether all trainings fail or some."""
        for judge in (_failed, lambda one: _failed(one) if one.values.get("tau", 0) % 2 else _succeeded(one)):
            made = new(strategy, seed=seed)
            assert proposed(made, judge), "nothing is suggested"
            assert made.ask() == [], "ask() returns suggestions after it returned an empty list"

    def test_a_resumed_study_goes_on_with_the_same_suggestions(self, strategy: Component) -> None:
        """A strategy that is told recorded outcomes suggests what the interrupted one would have."""
        expected = rounds(new(strategy), _better_when_cool)
        for done in range(len(expected)):
            resumed = new(strategy)
            for suggestions in expected[:done]:
                resumed.ask()
                resumed.tell([_better_when_cool(one) for one in _read_again(suggestions)])
            found = rounds(resumed, _better_when_cool)
            assert found == expected[done:], (
                f"resumed after {done} rounds, the strategy suggests {found} in place of {expected[done:]}"
            )

    def test_a_strategy_that_does_not_judge_epochs_stops_no_trial(self, strategy: Component) -> None:
        """Trials are stopped early only by strategies that set judges_epochs."""
        made = new(strategy)
        if made.judges_epochs:
            pytest.skip("the strategy judges epochs")
        assert all(made.report(suggestion, 1, 0.0) is True for suggestion in made.ask()), (
            "report() stops a trial; set judges_epochs = True, or kdtune never calls it"
        )

    def test_files_for_other_tools_are_written(self, strategy: Component, tmp_path: Path) -> None:
        """After its end, a strategy exports its files, if it has any."""
        made = new(strategy)
        proposed(made)
        made.export(tmp_path)


def new(strategy: Component, space: object = FINITE["steps"], seed: int = 0) -> Strategy:
    """Return a strategy as a study makes it for one repeat."""
    kind: type[Strategy] = STRATEGIES.load(strategy.name)
    return kind.from_table(SearchSpace.model_validate(space), strategy.options, seed)


def rounds(strategy: Strategy, judge: Judge | None = None) -> list[list[Suggestion]]:
    """Return every round until the first empty one; all trainings succeed unless ``judge`` says otherwise."""
    asked = []
    while suggestions := strategy.ask():
        asked.append(suggestions)
        strategy.tell([(judge or _succeeded)(suggestion) for suggestion in suggestions])
        assert len(asked) < 1000, "the strategy does not end after 1,000 rounds; ask() has to return [] at the end"
    return asked


def proposed(strategy: Strategy, judge: Judge | None = None) -> list[Suggestion]:
    """Return all suggestions; see :func:`rounds`."""
    return [suggestion for suggestions in rounds(strategy, judge) for suggestion in suggestions]


def _in_every_space(strategy: Component, seed: int = 0) -> Iterator[tuple[str, Strategy]]:
    """Yield the strategy in every space that it accepts."""
    for label, space in FINITE.items():
        yield label, new(strategy, space, seed)
    for label, space in INFINITE.items():
        try:
            made = new(strategy, space, seed)
        except SpecError:
            continue
        yield label, made


def _again(made: Strategy, strategy: Component) -> Strategy:
    """Return a strategy that was made like another one."""
    return type(made).from_table(made.space, strategy.options, made.seed)


def _read_again(suggestions: list[Suggestion]) -> list[Suggestion]:
    text = json.dumps([suggestion.as_point() for suggestion in suggestions], allow_nan=False)
    return [Suggestion.from_point(point) for point in json.loads(text)]


def _global_states() -> list[object]:
    """Return the states of all global generators of random numbers."""
    numpy_state = np.random.get_state(legacy=False)["state"]
    return [random.getstate(), numpy_state["key"].tolist(), numpy_state["pos"], torch.get_rng_state().tolist()]


def _succeeded(suggestion: Suggestion) -> Outcome:
    return Outcome(suggestion, val_accuracy=0.5, val_loss=1.0)


def _failed(suggestion: Suggestion) -> Outcome:
    return Outcome(suggestion, val_accuracy=None, val_loss=None)


def _better_when_cool(suggestion: Suggestion) -> Outcome:
    return Outcome(suggestion, 1 / suggestion.values.get("tau", 1), 1.0)
