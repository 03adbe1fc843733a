"""The best of many restarts."""

import pytest

from kdtune.catalog.builtin import STRATEGIES
from kdtune.errors import SpecError
from kdtune.specs import load_study
from kdtune.specs.search_space import SearchSpace
from tests.recipes import identity_of

STUDY = load_study("digits-hkd")


def points(name="best-of", **options):
    kind = STRATEGIES.load(name)
    return [one.as_point() for one in kind.from_table(STUDY.search_space, options, seed=0).ask()]


def test_the_original_training_is_followed_by_its_restarts():
    assert points(trials=3) == [
        {"temperature": "stochastic"},
        {"temperature": "stochastic", "restart": 1},
        {"temperature": "stochastic", "restart": 2},
    ]
    assert points(of="fixed", tau=7, trials=2) == [{"tau": 7}, {"tau": 7, "restart": 1}]


def test_the_default_number_of_trials_is_that_of_the_grid():
    assert len(points()) == len(points("grid")) == 19
    space, kind = SearchSpace.model_validate({"tau": {"values": [2, 6, 12]}}), STRATEGIES.load("best-of")
    assert len(kind(space, kind.Options(), seed=0).ask()) == 3
    endless = SearchSpace.model_validate({"tau": {"low": 2, "high": 20}})
    with pytest.raises(SpecError, match="best-of without 'trials'"):
        kind(endless, kind.Options(), seed=0)
    assert len(kind(endless, kind.Options(trials=4), seed=0).ask()) == 4


@pytest.mark.parametrize(
    ("of", "options"), [("fixed", {}), ("fixed", {"tau": 9}), ("stochastic", {}), ("stochastic", {"draw": "epoch"})]
)
def test_its_first_trial_is_that_of_the_strategy_it_is_of(of, options):
    first, second = points(of=of, trials=2, **options)
    (plain,) = points(of, **options)
    assert identity_of(STUDY, first, 0) == identity_of(STUDY, plain, 0) != identity_of(STUDY, second, 0)


@pytest.mark.parametrize(("of", "option"), [("fixed", {"draw": "epoch"}), ("stochastic", {"tau": 4})])
def test_an_option_of_another_strategy_is_refused(of, option):
    table = {**STUDY.model_dump(mode="json", exclude_none=True), "strategies": {"best-of": {"of": of, **option}}}
    with pytest.raises(SpecError, match=rf"strategies\.best-of\.{next(iter(option))}: unknown key; "):
        load_study(table)


def test_any_strategy_of_one_training_can_be_started_again():
    assert points(of="single", temperature="fixed", tau=7, trials=2) == [
        {"temperature": "fixed", "tau": 7},
        {"temperature": "fixed", "tau": 7, "restart": 1},
    ]
    table = {**STUDY.model_dump(mode="json", exclude_none=True), "strategies": {"best-of": {"of": "grid"}}}
    with pytest.raises(SpecError, match="best-of.of: has to be a strategy of one training: stochastic, fixed, single"):
        load_study(table)


@pytest.mark.parametrize("wrong", [{"of": "grid"}, {"of": "fixed", "tau": 0}, {"draw": "bach"}, {"trials": 0}])
def test_an_invalid_value_is_refused_with_its_key(wrong):
    table = {**STUDY.model_dump(mode="json", exclude_none=True), "strategies": {"best-of": wrong}}
    with pytest.raises(SpecError, match=rf"strategies\.best-of\.{list(wrong)[-1]}: "):
        load_study(table)
