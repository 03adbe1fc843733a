"""The labels under which a study lists its strategies."""

import pytest

from kdtune.errors import SpecError
from kdtune.specs import load_study
from kdtune.specs.loading import strategy_labels
from tests.studies import small_study


def listed(**strategies):
    return load_study(small_study(strategies=strategies))


def faults(**strategies):
    """Each fault as (key, problem)."""
    with pytest.raises(SpecError) as caught:
        listed(**strategies)
    return [(fault.key, fault.problem) for fault in caught.value.faults]


def test_a_strategy_may_be_listed_several_times_with_options_of_its_own():
    study = listed(
        **{"fixed-1": {"strategy": "fixed", "tau": 1}, "fixed-4": {"strategy": "fixed"}, "fixed": {"tau": 9}}
    )
    assert [study.labelled(label) for label in study.strategies] == [
        ("fixed", {"tau": 1}), ("fixed", {}), ("fixed", {"tau": 9})
    ]  # fmt: skip


def test_a_label_without_a_strategy_is_a_strategys_name():
    study = listed(grid={}, random={"trials": 2})
    assert study.labelled("random") == ("random", {"trials": 2})
    assert study.labelled("optuna") == ("optuna", {})  # not listed, and so without options


def test_what_a_study_lists_is_not_changed_by_asking_for_it():
    study = listed(hot={"strategy": "fixed", "tau": 20})
    study.labelled("hot")
    assert study.strategies == {"hot": {"strategy": "fixed", "tau": 20}}


@pytest.mark.parametrize("label", ["a b", "../up", "", ".hidden", "-dash", "a.b", "a/b", "x" * 65, "caf\u00e9"])
def test_a_label_that_is_no_folder_name_is_refused(label):
    ((key, problem),) = faults(**{label: {"strategy": "fixed"}})
    assert key == f"strategies.{label}"
    assert problem.endswith("at most 64 letters, digits, '-' and '_'")


@pytest.mark.parametrize("label", ["all", "sessions", "abandoned"])
def test_a_label_that_means_something_else_is_refused(label):
    assert faults(**{label: {"strategy": "fixed"}})[0][1].startswith("is reserved")


def test_the_name_of_one_strategy_cannot_be_the_label_of_another():
    assert faults(grid={"strategy": "fixed"}) == [
        ("strategies.grid", "is the name of a strategy, so it cannot be the label of 'fixed'; choose another")
    ]
    assert listed(grid={"strategy": "grid"}).labelled("grid") == ("grid", {})


def test_an_unknown_strategy_behind_a_label_is_told_what_was_meant():
    assert faults(hot={"strategy": "fixd"}) == [
        ("strategies.hot.strategy", "unknown strategy 'fixd'; did you mean 'fixed'?")
    ]


@pytest.mark.parametrize("strategy", [3, True, ["fixed"]])
def test_a_strategy_that_is_no_name_is_refused(strategy):
    assert faults(hot={"strategy": strategy})[0][0] == "strategies.hot.strategy"


def test_a_label_without_the_strategy_behind_it_is_told_how_to_name_one():
    ((key, problem),) = faults(hot={"tau": 20})
    assert key == "strategies.hot"
    assert 'strategy = "..."' in problem


def test_an_option_of_a_labelled_strategy_is_held_against_that_strategy():
    assert faults(hot={"strategy": "fixed", "tua": 20}) == [("strategies.hot.tua", "unknown key; did you mean 'tau'?")]


def test_a_label_is_reached_from_the_command_line():
    study = load_study(small_study(), overrides=["strategies.hot.strategy=fixed", "strategies.hot.tau=20"])
    assert study.labelled("hot") == ("fixed", {"tau": 20})


def test_the_labels_of_a_study_with_faults_are_known_and_of_one_that_is_not_there_are_not(tmp_path):
    assert strategy_labels(small_study(loss="none", strategies={"hot": {}})) == ["hot"]
    assert strategy_labels("no-such-study") is None
    (tmp_path / "broken.toml").write_text("strategies = 3")
    assert strategy_labels(tmp_path / "broken.toml") == []
