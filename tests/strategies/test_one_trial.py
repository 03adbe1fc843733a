"""The strategies that search nothing: one training each."""

import pytest
from pydantic import ValidationError

from kdtune.catalog.builtin import STRATEGIES
from kdtune.energy.flops import Workload
from kdtune.errors import SpecError
from kdtune.specs import load_study
from kdtune.strategies.equal_cost import DistillationCost
from tests.recipes import recipe_of


def only_point(name, **options):
    kind = STRATEGIES.load(name)
    (suggestion,) = kind.from_table(load_study("digits-hkd").search_space, options, seed=0).ask()
    return suggestion.as_point()


def temperature_of(study, point):
    """The options of the temperature at a point."""
    return recipe_of(study, point).temperature.options


def test_fixed_uses_tau_4_by_default():
    assert only_point("fixed") == {"tau": 4}
    assert only_point("fixed", tau=7) == {"tau": 7}


def test_fixed_proposes_the_very_point_that_the_grid_does():
    # An integer stays one, so that both have the same trial id.
    assert type(only_point("fixed")["tau"]) is int
    assert type(only_point("fixed", tau=7)["tau"]) is int


@pytest.mark.parametrize("tau", [0, -1, "hot", float("nan"), float("inf")])
def test_fixed_refuses_an_invalid_tau(tau):
    with pytest.raises(ValidationError):
        STRATEGIES.load("fixed").Options(tau=tau)


def test_stochastic_draws_tau_within_the_training_from_the_studys_space():
    study = load_study("digits-hkd")
    recipe = recipe_of(study, only_point("stochastic"))
    assert recipe.temperature.name == "stochastic"
    assert recipe.temperature.options == {"draw": "batch", "space": {"low": 2, "high": 20, "step": 1, "log": False}}


def test_options_of_the_paper_are_left_out_of_the_suggestion():
    # Whatever is in a point is in its trial's id: the plain one is what it was before there were options.
    assert only_point("stochastic") == {"temperature": "stochastic"}
    assert only_point("stochastic", draw="batch", scale="uniform") == {"temperature": "stochastic"}


@pytest.mark.parametrize("draw", ["epoch", "sample"])
def test_another_way_to_draw_is_in_the_suggestion_and_used_in_training(draw):
    point = only_point("stochastic", draw=draw)
    assert point == {"temperature": "stochastic", "draw": draw}
    assert temperature_of(load_study("digits-hkd"), point)["draw"] == draw


def test_a_given_space_is_in_the_suggestion_and_used_for_draws():
    study, own = load_study("digits-hkd"), {"values": [2, 4]}
    point = only_point("stochastic", space=own)
    assert point == {"temperature": "stochastic", "space": own}
    assert temperature_of(study, point) == {"draw": "batch", "space": {"values": [2, 4], "log": False}}


def test_another_scale_than_that_of_the_space_is_in_the_suggestion_and_used_in_training():
    study, point = load_study("digits-hkd"), only_point("stochastic", scale="log")
    assert point == {"temperature": "stochastic", "scale": "log"}
    space = temperature_of(study, point)["space"]
    assert space == study.search_space["tau"].model_copy(update={"log": True}).model_dump(exclude_none=True)
    assert not study.search_space["tau"].log


def test_a_logarithmic_space_may_be_drawn_from_evenly():
    kind = STRATEGIES.load("stochastic")
    study = load_study("digits-hkd", overrides=["search_space.tau.log=true"])
    (suggestion,) = kind(study.search_space, kind.Options(scale="uniform"), seed=0).ask()
    assert suggestion.as_point() == {"temperature": "stochastic", "scale": "uniform"}
    assert temperature_of(study, suggestion.as_point())["space"]["log"] is False
    (suggestion,) = kind(study.search_space, kind.Options(scale="log"), seed=0).ask()
    assert suggestion.as_point() == {"temperature": "stochastic"}
    assert temperature_of(study, suggestion.as_point())["space"]["log"] is True


def test_single_is_one_training_under_a_temperature_by_name():
    drawn = {"temperature": "stochastic", "draw": "epoch"}
    assert only_point("single", **drawn) == drawn
    assert only_point("single", temperature="fixed", tau=3) == {"temperature": "fixed", "tau": 3}


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({}, "strategies.single.temperature: is missing"),
        (
            {"temperature": "stochastik", "draw": "epoch"},
            "unknown temperature 'stochastik'; did you mean 'stochastic'?",
        ),
        ({"temperature": "fixed", "tau": 0}, "strategies.single.tau: should be greater than 0"),
        ({"temperature": "fixed", "tau": 1e9}, "strategies.single.tau: has to lie between"),
        ({"temperature": "stochastic", "drow": "epoch"}, "strategies.single.drow: unknown key; did you mean 'draw'?"),
    ],
)
def test_the_options_of_single_are_those_of_its_temperature(options, told):
    study = load_study("digits-hkd").model_dump(mode="json", exclude_none=True)
    with pytest.raises(SpecError) as caught:
        load_study({**study, "strategies": {"single": options}})
    assert told in str(caught.value)
    assert len(caught.value.faults) == 1


def test_one_random_tau_is_drawn_from_the_space_once():
    point = only_point("random", trials=1)
    assert point.keys() == {"tau"} and point["tau"] in range(2, 21)


def test_none_may_train_longer_by_a_factor():
    study, point = load_study("digits-hkd"), only_point("none", longer=1.5)
    assert point == {"loss": "ce", "longer": 1.5}
    training = recipe_of(study, point).training
    assert (training.epochs, training.milestones) == (45, (18, 27, 36))
    assert training == study.training.scaled_to(45)
    assert recipe_of(study, point).training.epochs == 45
    assert recipe_of(study, only_point("none")).training.epochs == 30


def test_a_factor_of_one_is_the_plain_training():
    assert only_point("none", longer=1) == only_point("none") == {"loss": "ce"}


@pytest.mark.parametrize("longer", [0.5, 0, -1, 1e6, float("nan"), float("inf"), "long", True, None, [], ["energy"]])
def test_none_refuses_an_invalid_factor(longer):
    with pytest.raises(ValidationError, match="has to be a factor from 1 to 1000, 'flops' or 'energy'"):
        STRATEGIES.load("none").Options(longer=longer)


def test_none_matches_the_flops_of_a_distillation_once_the_networks_are_known():
    # An epoch of the student alone: 2 (3 (3 x 100) + 3 x 50) = 2100; with a live teacher 2 x 10 x 100 more.
    workload = Workload(teacher_macs=10, student_macs=3, train_images=100, val_images=50, test_images=20)
    kind, cost = STRATEGIES.load("none"), DistillationCost(flops=workload.distillation_ratio, energy=1.25)
    assert kind.settled({"longer": "flops"}, cost) == {"longer": round(4100 / 2100, 4)} == {"longer": 1.9524}
    assert kind.settled({"longer": "energy"}, cost) == {"longer": 1.25}
    assert kind.settled({"longer": 3}, cost) == {"longer": 3}
    assert kind.settled({}, cost) == {}


@pytest.mark.parametrize(("found", "longer"), [(0.93, 1.0), (1.08763, 1.0876), (5e4, 1000)])
def test_a_factor_that_is_found_is_neither_a_cut_nor_without_end(found, longer):
    kind = STRATEGIES.load("none")
    settled = kind.settled({"longer": "energy"}, DistillationCost(energy=found))
    assert settled == {"longer": longer}
    assert only_point("none", **settled) == {"loss": "ce", **({} if longer == 1 else {"longer": longer})}


def test_options_with_unknown_costs_are_unchanged():
    kind, energy = STRATEGIES.load("none"), {"longer": "energy"}
    assert kind.settled(energy, DistillationCost(flops=2.0)) == energy
    assert kind.waits_for_energy(energy)
    assert not any(kind.waits_for_energy(options) for options in ({}, {"longer": "flops"}, {"longer": 1.25}))


@pytest.mark.parametrize("longer", ["flops", "energy"])
def test_a_factor_that_is_left_open_can_be_planned_with(longer):
    kind = STRATEGIES.load("none")
    assert kind(load_study("digits-hkd").search_space, kind.Options(longer=longer), seed=0).expected_trials() == 1


def test_none_trains_on_the_labels_alone():
    recipe = recipe_of(load_study("digits-hkd"), only_point("none"))
    assert not recipe.needs_teacher
    assert recipe.method.name == "ce"


def test_the_table_knows_without_loading_which_strategies_need_no_teacher():
    alone = [name for name in STRATEGIES if not STRATEGIES[name].facts.get("needs_teacher", True)]
    assert alone == ["none", "qat", "ptq"]
