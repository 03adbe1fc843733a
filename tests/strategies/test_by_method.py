"""Methods as strategies by their own names."""

import pytest

from kdtune.catalog.builtin import LOSSES, METHOD_STRATEGIES, STRATEGIES, TEMPERATURES, is_method
from kdtune.errors import SpecError
from kdtune.specs import SearchSpace, load_study
from kdtune.strategies.by_method import UnderMethod
from kdtune.training.resolution import resolved_trial
from tests.studies import small_study

SPACE = SearchSpace.model_validate({"tau": {"low": 2, "high": 6, "step": 2}})


def suggestions(name, **options):
    return STRATEGIES.load(name).from_table(SPACE, options, 0).ask()


def resolved(name, *, study=None, **options):
    study = study or load_study(small_study(strategies={"mine": {"strategy": name, **options}}))
    return [resolved_trial(study, one, 0).recipe for one in suggestions(name, **options)]


def test_every_method_is_a_strategy_of_its_own_name():
    methods = {*filter(is_method, LOSSES), *TEMPERATURES}
    assert methods <= set(STRATEGIES) and set(METHOD_STRATEGIES) == methods - {"fixed", "stochastic"}
    assert all(issubclass(STRATEGIES.load(name), UnderMethod) for name in METHOD_STRATEGIES)


def test_a_loss_is_used_with_the_tau_and_the_weights_of_its_authors():
    [recipe] = resolved("standardized")
    assert (recipe.method.name, recipe.temperature.name, recipe.temperature.options["tau"]) == (
        "standardized",
        "fixed",
        2,
    )
    assert (recipe.method.options["weight"], recipe.method.options["label_weight"]) == (9, 0.1)


def test_a_temperature_is_used_with_its_own_tau_or_a_customary_one():
    assert [resolved(name)[0].temperature.options["tau"] for name in ("normkd", "instance")] == [2, 4]
    assert resolved("normkd")[0].method.name == "hkd"


def test_options_and_tau_can_be_given():
    [recipe] = resolved("ttm", tau=8, weight=3)
    assert (recipe.method.options["weight"], recipe.temperature.options["tau"]) == (3, 8)
    [recipe] = resolved("instance", tau=6, weights="cwsm")
    assert (recipe.temperature.options["weights"], recipe.temperature.options["tau"]) == ("cwsm", 6)


def test_the_whole_method_has_the_name_that_it_shares_with_its_temperature():
    assert resolved("dtkd")[0].method.name == "dtkd"
    assert [one.as_point() for one in suggestions("tuned:dtkd", ramp=0)] == [
        {"tau": tau, "loss": "dtkd", "ramp": 0} for tau in (2, 4, 6)
    ]
    assert resolved("single", temperature="dtkd")[0].method.name == "hkd"


def test_a_loss_can_be_tuned_and_any_search_runs_under_it():
    tuned = resolved("tuned:standardized")
    assert [one.temperature.options["tau"] for one in tuned] == [2, 4, 6]
    study = load_study(small_study(loss={"ref": "standardized", "weight": 0.9}, strategies={"grid": {}}))
    grid = resolved("grid", study=study)
    assert [(one.method.name, one.method.options["weight"]) for one in grid] == [("standardized", 0.9)] * 3
    assert resolved("stochastic", study=study)[0].temperature.name == "stochastic"


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"strategy": "standardized", "wieght": 2}, "strategies.mine.wieght"),
        ({"strategy": "standardized", "weight": -1}, "strategies.mine.weight"),
        ({"strategy": "standardized", "tau": 1e9}, "between 0.0001 and 10000"),
        ({"strategy": "tuned:standardized", "tau": 2}, "strategies.mine.tau"),
        ({"strategy": "standardised"}, "did you mean 'standardized'"),
    ],
)
def test_what_is_wrong_with_the_options_is_named_with_the_study(options, problem):
    with pytest.raises(SpecError) as error:
        load_study(small_study(strategies={"mine": options}))
    assert problem in str(error.value)


def test_a_search_over_alpha_is_refused_where_it_has_no_effect():
    space = {"tau": {"values": [2, 4]}, "alpha": {"values": [0.5, 0.9]}}
    study = load_study(small_study(loss="standardized", search_space=space, strategies={"grid": {}}))
    [first, *_] = STRATEGIES.load("grid").from_table(study.search_space, {}, 0).ask()
    with pytest.raises(SpecError, match="alpha: has no effect under 'standardized'"):
        resolved_trial(study, first, 0)
    study = load_study(small_study(loss="ea", search_space=space, strategies={"grid": {}}))
    assert resolved_trial(study, first, 0).recipe.alpha == 0.5


def test_an_unknown_option_of_the_studys_loss_is_named():
    study = load_study(small_study(loss={"ref": "ea", "bound": 2}, strategies={"fixed": {}}))
    with pytest.raises(SpecError, match="bound"):
        resolved("fixed", study=study)
