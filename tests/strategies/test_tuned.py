"""The grid under a temperature by name."""

import pytest

from kdtune.catalog.builtin import STRATEGIES, is_all_built_in
from kdtune.errors import SpecError
from kdtune.specs import SearchSpace, load_study
from kdtune.specs.suggestion import Suggestion
from kdtune.training.resolution import resolved_trial
from tests.studies import small_study

SPACE = SearchSpace.model_validate({"tau": {"low": 2, "high": 6, "step": 2}})


def study_with(**strategies):
    return load_study(small_study(strategies=strategies))


def suggestions(name, space=SPACE, **options):
    strategy = STRATEGIES.load(name).from_table(space, options, 0)
    asked = strategy.ask()
    assert strategy.expected_trials() == len(asked) and strategy.ask() == []
    return asked


def test_every_point_of_the_space_is_tried_under_the_temperature():
    points = [one.as_point() for one in suggestions("tuned:instance", weights="cwsm", beta=2)]
    assert points == [{"tau": tau, "temperature": "instance", "weights": "cwsm", "beta": 2} for tau in (2, 4, 6)]
    assert [Suggestion.from_point(point).as_point() for point in points] == points


@pytest.mark.parametrize("name", ["fixed", "cosine", "instance", "normkd"])
def test_the_training_has_the_searched_tau(name):
    study = study_with(mine={"strategy": f"tuned:{name}"})
    for suggestion in suggestions(f"tuned:{name}"):
        temperature = resolved_trial(study, suggestion, 0).recipe.temperature
        assert (temperature.name, temperature.options["tau"]) == (name, suggestion.values["tau"])


def test_another_dimension_is_searched_too():
    space = SearchSpace.model_validate({"tau": {"values": [2, 4]}, "alpha": {"values": [0.5, 1.0]}})
    assert len(suggestions("tuned:dtkd", space)) == 4


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"strategy": "tuned:stochastic"}, "no option 'tau'"),
        ({"strategy": "tuned:instant"}, "did you mean 'instance'"),
        ({"strategy": "tuned:instance", "tau": 4}, "strategies.mine.tau"),
        ({"strategy": "tuned:instance", "gama": 2}, "strategies.mine.gama"),
        ({"strategy": "tuned:instance", "beta": -1}, "strategies.mine.beta"),
    ],
)
def test_what_cannot_be_tuned_is_refused_with_the_study(options, problem):
    with pytest.raises(SpecError) as error:
        study_with(mine=options)
    assert problem in str(error.value)


def test_a_space_without_a_step_is_refused():
    with pytest.raises(SpecError, match="cannot be enumerated"):
        suggestions("tuned:dtkd", SearchSpace.model_validate({"tau": {"low": 2, "high": 6}}))


@pytest.mark.parametrize(
    ("name", "options", "expected"),
    [
        ("tuned:wttm", {}, True),
        ("tuned:normkd", {}, True),
        ("tuned:./their.py:Policy", {}, False),
        ("tuned:theirs", {}, False),
        ("single", {"temperature": "tuned:normkd"}, False),
    ],
)
def test_a_tuned_method_is_built_in_if_the_method_is(name, options, expected):
    assert is_all_built_in(name, options) == expected
