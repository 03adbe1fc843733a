"""What every strategy keeps to, whatever its name."""

import json
import random

import numpy as np
import pytest
from pydantic import ValidationError

from kdtune.catalog.builtin import STRATEGIES
from kdtune.errors import SpecError
from kdtune.specs import SearchSpace, load_study
from kdtune.specs.suggestion import Suggestion
from kdtune.specs.trial_spec import TrialSpec
from kdtune.strategies.base import Outcome, Strategy
from kdtune.strategies.equal_cost import DistillationCost, EqualCost
from kdtune.training.resolution import resolved_trial

FINITE = {
    "steps": {"tau": {"low": 2, "high": 20, "step": 1}},
    "logarithmic": {"tau": {"low": 2, "high": 20, "step": 1, "log": True}},
    "listed": {"tau": {"values": [4, 1, 9.5]}},
    "one point": {"tau": {"low": 4, "high": 4}},
    "tenths": {"tau": {"low": 0.1, "high": 1.2, "step": 0.1}},
    "end off the step": {"tau": {"low": 1, "high": 12, "step": 3}},
    "two dimensions": {"tau": {"values": [2, 4, 8]}, "alpha": {"low": 0.5, "high": 1.0, "step": 0.25}},
}
INFINITE = {
    "interval": {"tau": {"low": 2, "high": 20}},
    "logarithmic interval": {"tau": {"low": 2, "high": 20, "log": True}},
    "half an interval": {"tau": {"values": [2, 4]}, "learning_rate": {"low": 1e-3, "high": 1.0, "log": True}},
}

#: Every strategy by its name with its default options, and some with others that change what they propose.
VARIANTS = {
    **{name: (name, {}) for name in STRATEGIES if name != "single"},  # which has no temperature of its own
    "single": ("single", {"temperature": "stochastic"}),
    "stochastic per epoch": ("stochastic", {"draw": "epoch"}),
    "stochastic per sample and log": ("stochastic", {"draw": "sample", "scale": "log"}),
    "stochastic uniform": ("stochastic", {"scale": "uniform"}),
    "none longer": ("none", {"longer": 2.5}),
    "optuna with pruning": ("optuna", {"pruning": True}),
    "one random tau": ("random", {"trials": 1}),
    "best of fixed": ("best-of", {"of": "fixed", "tau": 7, "trials": 3}),
    "best of stochastic per epoch": ("best-of", {"draw": "epoch", "trials": 1}),
}

#: Proposes a value of its own whatever the space is.
IGNORES_THE_SPACE = {"fixed", "best of fixed"}

#: May come back to a point, which is then answered from its record, or goes on where it stopped.
MAY_REPEAT = {"optuna", "optuna with pruning", "asha"}


def make(variant, space, seed=0):
    """A strategy with the variant's options."""
    name, options = VARIANTS[variant]
    kind = STRATEGIES.load(name)
    return kind.from_table(SearchSpace.model_validate(space), options, seed)


def serves(name, space):
    try:
        make(name, space)
    except SpecError:
        return False
    return True


#: A finite space has to be served by all, an infinite one may be refused.
CASES = [pytest.param(n, s, id=f"{n}-{label}") for n in VARIANTS for label, s in FINITE.items()]
CASES += [pytest.param(n, s, id=f"{n}-{label}") for n in VARIANTS for label, s in INFINITE.items() if serves(n, s)]

every_strategy = pytest.mark.parametrize("name", list(VARIANTS))
every_name = pytest.mark.parametrize("name", list(STRATEGIES))
every_case = pytest.mark.parametrize(("name", "space"), CASES)

#: Of strategies whose length a study may leave open.
MAY_BE_OPEN = [case for case in CASES if issubclass(STRATEGIES.load(VARIANTS[case.values[0]][0]), EqualCost)]


def succeeded(suggestion):
    return Outcome(suggestion, val_accuracy=0.5, val_loss=1.0)


def failed(suggestion):
    return Outcome(suggestion, val_accuracy=None, val_loss=None)


def rounds(strategy, outcome=succeeded):
    """Every round until the first empty one."""
    asked = []
    while suggestions := strategy.ask():
        asked.append(suggestions)
        strategy.tell([outcome(suggestion) for suggestion in suggestions])
        assert len(asked) < 1000, "never comes to an end"
    return asked


def proposed(strategy, outcome=succeeded):
    return [suggestion for suggestions in rounds(strategy, outcome) for suggestion in suggestions]


@every_strategy
def test_it_follows_the_protocol(name):
    assert isinstance(make(name, FINITE["steps"]), Strategy)


@every_case
def test_it_proposes_something_and_then_ends(name, space):
    strategy = make(name, space)
    assert proposed(strategy)
    assert strategy.ask() == []
    assert strategy.ask() == []


@every_case
def test_the_same_seed_proposes_the_same(name, space):
    first = rounds(make(name, space, seed=3))
    random.seed(1)
    np.random.seed(1)
    assert rounds(make(name, space, seed=3)) == first


@every_strategy
def test_the_same_outcomes_lead_to_the_same_points(name):
    def better_when_cool(suggestion):
        return Outcome(suggestion, 1 / suggestion.values.get("tau", 1), 1.0)

    first = rounds(make(name, FINITE["steps"]), better_when_cool)
    assert rounds(make(name, FINITE["steps"]), better_when_cool) == first


@every_strategy
def test_it_leaves_the_global_generators_alone(name):
    random.seed(1)
    np.random.seed(1)
    before = random.getstate(), np.random.get_state()[1].tolist()
    proposed(make(name, FINITE["logarithmic"]))
    assert (random.getstate(), np.random.get_state()[1].tolist()) == before


@every_case
def test_points_lie_in_the_space(name, space):
    strategy = make(name, space)
    for suggestion in proposed(strategy):
        point = suggestion.values
        for key in set(point) & set(space) if name not in IGNORES_THE_SPACE else ():
            dimension = strategy.space[key]
            low, high = dimension.bounds
            assert low <= point[key] <= high
            assert not dimension.is_finite or point[key] in dimension.points()


@every_case
def test_every_suggestion_is_a_training(name, space):
    study = load_study("digits-hkd").model_copy(update={"search_space": SearchSpace.model_validate(space)})
    for suggestion in proposed(make(name, space)):
        spec = resolved_trial(study, suggestion, 0)
        assert TrialSpec.model_validate(json.loads(spec.model_dump_json())) == spec
        assert (spec.recipe.temperature is None) == (name.startswith("none"))


@pytest.mark.parametrize(("name", "space"), MAY_BE_OPEN)
def test_resolved_options_are_not_resolved_again(name, space):
    kind, options = STRATEGIES.load(VARIANTS[name][0]), VARIANTS[name][1]
    assert kind.settled(options, DistillationCost(flops=2.0, energy=1.5)) == options
    assert not kind.waits_for_energy(options)


@every_case
def test_suggestions_survive_being_written_down_as_points(name, space):
    suggestions = proposed(make(name, space))
    points = [suggestion.as_point() for suggestion in suggestions]
    again = json.loads(json.dumps(points, allow_nan=False))
    # How far a training goes for now does not belong to its point.
    whole = [suggestion.model_copy(update={"until": 1.0}) for suggestion in suggestions]
    assert [Suggestion.from_point(point) for point in again] == whole


@pytest.mark.parametrize("name", [name for name in VARIANTS if name not in MAY_REPEAT])
@pytest.mark.parametrize("space", FINITE.values(), ids=FINITE)
def test_no_point_of_a_finite_space_is_suggested_twice(name, space):
    points = [json.dumps(one.as_point(), sort_keys=True) for one in proposed(make(name, space))]
    assert len(set(points)) == len(points)


@every_case
def test_it_proposes_as_many_as_it_expected_to(name, space):
    strategy = make(name, space)
    expected = strategy.expected_trials()
    suggestions = proposed(strategy)
    if strategy.has_rungs:  # a trial that goes on is suggested again
        first = suggestions[0].until
        suggestions = [one for one in suggestions if one.until == first]
    assert len(suggestions) == expected


@every_strategy
def test_asking_how_many_changes_nothing(name):
    asked, unasked = make(name, FINITE["steps"]), make(name, FINITE["steps"])
    asked.expected_trials()
    assert rounds(asked) == rounds(unasked)


@every_strategy
@pytest.mark.parametrize("seed", range(3))
def test_it_goes_on_when_trainings_fail(name, seed):
    strategy = make(name, FINITE["steps"], seed)
    assert proposed(strategy, failed)
    assert strategy.ask() == []


@every_strategy
def test_it_takes_a_round_of_which_some_failed(name):
    def mixed(suggestion):
        return failed(suggestion) if suggestion.values.get("tau", 0) % 2 else succeeded(suggestion)

    strategy = make(name, FINITE["steps"])
    assert proposed(strategy, mixed)
    assert strategy.ask() == []


@every_strategy
def test_a_strategy_that_does_not_judge_epochs_stops_no_trial(name):
    strategy = make(name, FINITE["steps"])
    if strategy.judges_epochs:
        pytest.skip("judges epochs")
    assert all(strategy.report(suggestion, 1, 0.0) is True for suggestion in strategy.ask())


@every_strategy
def test_a_strategy_can_export_files_for_other_tools(name, tmp_path):
    strategy = make(name, FINITE["steps"])
    proposed(strategy)
    strategy.export(tmp_path)


@every_name
def test_an_unknown_option_is_refused(name):
    with pytest.raises(ValidationError):
        STRATEGIES.load(name).options_model({}).model_validate({"no_such_option": 1})


@every_name
def test_an_unknown_option_in_a_study_is_named(name):
    with pytest.raises(SpecError, match=rf"strategies\.{name}\.no_such_option: unknown key"):
        load_study("digits-hkd", overrides=[f"strategies.{name}.no_such_option=1"])
