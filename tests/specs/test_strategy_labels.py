"""The labels under which a study lists its strategies."""

import numpy as np
import pytest

from kdtune.errors import SpecError
from kdtune.specs import load_study
from kdtune.specs.loading import strategy_labels
from kdtune.strategies.fixed import Fixed
from kdtune.temperature.fixed import FixedTemperature
from tests.studies import small_study


def listed(**strategies):
    return load_study(small_study(strategies=strategies))


def faults(**strategies):
    """Each fault as (key, problem)."""
    with pytest.raises(SpecError) as caught:
        listed(**strategies)
    return [(fault.key, fault.problem) for fault in caught.value.faults]


def test_a_strategy_may_be_listed_several_times_with_different_options():
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


def test_looking_up_a_label_does_not_change_the_study():
    study = listed(hot={"strategy": "fixed", "tau": 20})
    study.labelled("hot")
    assert study.strategies == {"hot": {"strategy": "fixed", "tau": 20}}


@pytest.mark.parametrize("label", ["a b", "../up", "", ".hidden", "-dash", "a.b", "a/b", "x" * 65, "caf\u00e9"])
def test_a_label_that_is_not_a_folder_name_is_refused(label):
    ((key, problem),) = faults(**{label: {"strategy": "fixed"}})
    assert key == f"strategies.{label}"
    assert problem.endswith("at most 64 letters, digits, '-' and '_'")


@pytest.mark.parametrize("label", ["all", "sessions", "abandoned"])
def test_a_reserved_label_is_refused(label):
    assert faults(**{label: {"strategy": "fixed"}})[0][1].startswith("is reserved")


def test_the_name_of_one_strategy_cannot_be_the_label_of_another():
    assert faults(grid={"strategy": "fixed"}) == [
        ("strategies.grid", "is the name of a strategy, so it cannot be the label of 'fixed'; choose another")
    ]
    assert listed(grid={"strategy": "grid"}).labelled("grid") == ("grid", {})


def test_an_unknown_strategy_of_a_label_is_refused_with_a_suggestion():
    assert faults(hot={"strategy": "fixd"}) == [
        ("strategies.hot.strategy", "unknown strategy 'fixd'; did you mean 'fixed'?")
    ]


@pytest.mark.parametrize("strategy", [3, True, ["fixed"]])
def test_a_strategy_that_is_not_a_string_is_refused(strategy):
    assert faults(hot={"strategy": strategy})[0][0] == "strategies.hot.strategy"


def test_a_label_without_a_strategy_is_refused_with_the_key_to_add():
    ((key, problem),) = faults(hot={"tau": 20})
    assert key == "strategies.hot"
    assert 'strategy = "..."' in problem


def test_options_of_a_label_are_validated_by_its_strategy():
    assert faults(hot={"strategy": "fixed", "tua": 20}) == [("strategies.hot.tua", "unknown key; did you mean 'tau'?")]


def test_options_of_a_label_can_be_overridden():
    study = load_study(small_study(), overrides=["strategies.hot.strategy=fixed", "strategies.hot.tau=20"])
    assert study.labelled("hot") == ("fixed", {"tau": 20})


def test_labels_are_known_for_a_study_with_faults_but_not_for_a_missing_one(tmp_path):
    assert strategy_labels(small_study(loss="none", strategies={"hot": {}})) == ["hot"]
    assert strategy_labels("no-such-study") is None
    (tmp_path / "broken.toml").write_text("strategies = 3")
    assert strategy_labels(tmp_path / "broken.toml") == []


class Hot(Fixed):
    pass


class Warm(FixedTemperature):
    pass


def test_strategies_and_temperatures_are_accepted_as_classes(tmp_path, monkeypatch):
    monkeypatch.setenv("KDTUNE_CACHE_DIR", str(tmp_path))

    class Local(Fixed):
        pass

    given = {
        "hot": {"strategy": Hot, "tau": np.float64(9)},
        "local": {"strategy": Local},
        "warm": {"strategy": "single", "temperature": Warm, "tau": 3},
    }
    study = listed(**given)
    assert study.labelled("hot") == (f"{__name__}:Hot", {"tau": 9.0})
    assert study.labelled("local")[0].startswith(f"pickle:{tmp_path}/components/")
    assert study.labelled("warm") == ("single", {"temperature": f"{__name__}:Warm", "tau": 3})
    assert given["hot"]["strategy"] is Hot
    assert load_study(study.model_dump(mode="json", exclude_none=True), has_run=True) == study


def test_an_option_of_a_strategy_that_is_no_json_value_is_refused_by_name():
    assert ("strategies.fixed.tau", "has to be a finite number, got nan") in faults(fixed={"tau": float("nan")})


def test_an_object_that_cannot_be_pickled_is_refused_by_name():
    class Locked(Fixed):
        key = (one for one in ())

    (fault, *_) = faults(mine={"strategy": Locked})
    assert fault[0] == "strategies.mine.strategy"
    assert "cannot be pickled" in fault[1]
