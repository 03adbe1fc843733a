"""The conformance suite over every registered strategy."""

import pytest

from kdtune.catalog.builtin import METHOD_STRATEGIES, STRATEGIES
from kdtune.errors import SpecError
from kdtune.specs import load_study
from kdtune.specs.component import Component
from kdtune.testing.strategies import FINITE, StrategyConformance, new, proposed
from kdtune.training.resolution import resolved_trial

#: Options in place of the default ones, for strategies that have some without a default.
NEEDED = {"single": {"temperature": "stochastic"}}

#: Every strategy with its default options, and some with others that change what they suggest.
VARIANTS = [
    *(Component(name=name, options=NEEDED.get(name, {})) for name in STRATEGIES),
    Component(name="stochastic", options={"draw": "epoch"}),
    Component(name="stochastic", options={"draw": "sample", "scale": "log"}),
    Component(name="stochastic", options={"scale": "uniform"}),
    Component(name="none", options={"longer": 2.5}),
    Component(name="optuna", options={"pruning": True, "trials": 4}),
    Component(name="random", options={"trials": 1}),
    Component(name="best-of", options={"of": "fixed", "tau": 7, "trials": 3}),
    Component(name="best-of", options={"draw": "epoch", "trials": 1}),
    Component(name="tuned:instance", options={"weights": "cwsm"}),
]

#: Suggest a value of their own whatever the space is.
IGNORE_THE_SPACE = [
    one for one in VARIANTS if one.name == "fixed" or one.options.get("of") == "fixed" or one.name in METHOD_STRATEGIES
]

#: Learn as they go, and may come back to a point, or let a trial go on.
MAY_REPEAT = [one for one in VARIANTS if one.name in ("optuna", "asha")]


def variants(components):
    return pytest.fixture(params=components, ids=str)


class Announced(StrategyConformance):
    def test_it_suggests_as_many_as_it_announced(self, strategy):
        for space in FINITE.values():
            made = new(strategy, space)
            suggestions = proposed(made)
            first = [one for one in suggestions if one.until == suggestions[0].until]  # those after rungs go on
            assert new(strategy, space).expected_trials() == len(first)


class TestBuiltIn(Announced):
    @variants([one for one in VARIANTS if one not in IGNORE_THE_SPACE + MAY_REPEAT])
    def strategy(self, request):
        return request.param


class TestThoseThatIgnoreTheSpace(Announced):
    ignores_space = True

    @variants(IGNORE_THE_SPACE)
    def strategy(self, request):
        return request.param


class TestThoseThatMayRepeat(Announced):
    may_repeat = True

    @variants(MAY_REPEAT)
    def strategy(self, request):
        return request.param


class TestOneThatMayEndEarly(StrategyConformance):
    component = {"ref": "random", "min_gain_per_kwh": 1.0, "training_kwh": 0.001}  # noqa: RUF012


@pytest.mark.parametrize("variant", VARIANTS, ids=str)
def test_only_the_student_alone_is_trained_without_a_temperature(variant):
    study = load_study("digits-hkd")
    for suggestion in proposed(new(variant)):
        recipe = resolved_trial(study, suggestion, 0).recipe
        has_temperature = any(one.temperature for one in (recipe, *recipe.phases))
        assert has_temperature == (STRATEGIES.facts_of(variant.name).get("needs_teacher") is not False)


@pytest.mark.parametrize("name", STRATEGIES)
def test_an_unknown_option_in_an_override_is_named(name):
    with pytest.raises(SpecError, match=rf"strategies\.{name}\.no_such_option: unknown key"):
        load_study("digits-hkd", overrides=[f"strategies.{name}.no_such_option=1"])
