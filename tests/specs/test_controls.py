"""The shipped controls: what a claim about the temperature has to stand against."""

import pytest

from kdtune.planning.trial_plan import make_strategies, settled_strategies
from kdtune.specs import load_study
from kdtune.strategies.equal_cost import DistillationCost
from tests.recipes import identity_of, points_of, recipe_of

STUDIES = ["digits-controls", "fashion-controls", "cifar100-controls"]

#: By label: the points of the first repeat, where a distillation costs so much more than the student alone.
POINTS = {
    "stochastic": [{"temperature": "stochastic"}],
    "fixed-4": [{"tau": 4}],
    "fixed-1": [{"tau": 1}],
    "none": [{"loss": "ce"}],
    "none-equal-energy": [{"loss": "ce", "longer": 1.25}],
    "none-equal-flops": [{"loss": "ce", "longer": 2.0}],
    "best-of-fixed": [{"tau": 4}, *({"tau": 4, "restart": restart} for restart in range(1, 19))],
    "grid": [{"tau": tau} for tau in range(2, 21)],
    "stochastic-per-epoch": [{"temperature": "stochastic", "draw": "epoch"}],
    "stochastic-per-sample": [{"temperature": "stochastic", "draw": "sample"}],
    "stochastic-log": [{"temperature": "stochastic", "scale": "log"}],
}

COST = DistillationCost(flops=2.0, energy=1.25)


@pytest.mark.parametrize("name", STUDIES)
def test_all_studies_have_the_same_controls_with_the_documented_suggestions(name):
    study = settled_strategies(load_study(name), COST)
    asked = {label: points_of(make_strategies(study, label)[0].ask()) for label in study.strategies}
    assert list(asked) == [
        "stochastic", "fixed-4", "fixed-1", "one-random-tau", "none", "none-equal-energy", "none-equal-flops",
        "best-of-stochastic", "best-of-fixed", "grid", "stochastic-per-epoch", "stochastic-per-sample",
        "stochastic-log",
    ]  # fmt: skip
    assert {label: asked[label] for label in POINTS} == POINTS
    assert len(asked["one-random-tau"]) == 1 and asked["one-random-tau"][0]["tau"] in range(2, 21)
    assert len(asked["best-of-stochastic"]) == len(asked["grid"])
    assert all(recipe_of(study, point) for points in asked.values() for point in points)


@pytest.mark.parametrize("name", STUDIES)
def test_the_controls_have_the_trainings_of_the_study_with_the_same_data(name):
    controls, plain = load_study(name), load_study(name.replace("controls", "hkd"))
    assert identity_of(controls, {"tau": 4}, 0) == identity_of(plain, {"tau": 4}, 0)
