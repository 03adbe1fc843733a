"""The strategies that search nothing: one training each."""

import pytest
from pydantic import ValidationError

from kdtune.distill.recipe import student_recipe
from kdtune.specs import load_study
from kdtune.strategies import STRATEGIES


def only_point(name, **options):
    kind = STRATEGIES.load(name)
    (point,) = kind(load_study("digits-hkd").search_space, kind.Options(**options), seed=0).ask()
    return point


def test_fixed_is_tau_4_unless_told():
    assert only_point("fixed") == {"tau": 4}
    assert only_point("fixed", tau=7) == {"tau": 7}


def test_fixed_proposes_the_very_point_that_the_grid_does():
    # An integer stays one, so that both have the same trial id.
    assert type(only_point("fixed")["tau"]) is int
    assert type(only_point("fixed", tau=7)["tau"]) is int


@pytest.mark.parametrize("tau", [0, -1, "hot", float("nan"), float("inf")])
def test_fixed_refuses_a_tau_that_cannot_be(tau):
    with pytest.raises(ValidationError):
        STRATEGIES.load("fixed").Options(tau=tau)


def test_stochastic_draws_tau_within_the_training_from_the_studys_space():
    study = load_study("digits-hkd")
    recipe = student_recipe(study, only_point("stochastic"))
    assert recipe.temperature == "stochastic"
    assert recipe.tau_space == study.search_space["tau"]


def test_none_trains_on_the_labels_alone():
    recipe = student_recipe(load_study("digits-hkd"), only_point("none"))
    assert not recipe.needs_teacher
    assert recipe.loss == "ce"


def test_the_table_knows_without_loading_that_none_needs_no_teacher():
    assert [name for name in STRATEGIES if not STRATEGIES[name].facts.get("needs_teacher", True)] == ["none"]
