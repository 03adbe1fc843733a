"""Whatever becomes of a study's file, and whoever wrote it: a study that can be planned, or faults that name it."""

import json

import pytest
import tomli_w
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kdtune.catalog.builtin import STRATEGIES
from kdtune.errors import SpecError
from kdtune.planning.trial_plan import make_strategies
from kdtune.specs import STUDIES, available, load_search_space, load_study
from tests.damage import altered, damaged
from tests.studies import small_study

CONTROLS = available(STUDIES)["digits-controls"].read_bytes()
SMALL = tomli_w.dumps(small_study()).encode()
SPACE = b"[tau]\nlow = 2\nhigh = 20\nstep = 1\n\n[alpha]\nvalues = [0.5, 0.9]\n"

ANY = settings(suppress_health_check=[HealthCheck.function_scoped_fixture])


def planned(study):
    """What comes before anything is spent."""
    json.dumps(study.model_dump(mode="json"), allow_nan=False)
    for label in study.strategies:
        name, options = study.labelled(label)
        if (
            options.get("longer") not in ("flops", "energy") and name in STRATEGIES and name != "optuna"
        ):  # its import takes seconds
            strategy = make_strategies(study, label)[0]
            assert len(strategy.ask()) == strategy.expected_trials() or strategy.expected_trials() > 0


@ANY
@given(st.data())
def test_a_damaged_study_is_planned_or_refused_with_a_message(tmp_path, data):
    path = tmp_path / "mine.toml"
    kind = data.draw(st.sampled_from([damaged, altered]))
    path.write_bytes(data.draw(kind(data.draw(st.sampled_from([CONTROLS, SMALL])))))
    try:
        study = load_study(path)
        planned(study)
    except SpecError as error:
        assert all(fault.where and fault.problem for fault in error.faults)
        return
    assert (tmp_path / study.name).resolve().parent == tmp_path


@ANY
@given(st.data())
def test_a_damaged_search_space_is_enumerated_or_refused_with_a_message(tmp_path, data):
    path = tmp_path / "space.toml"
    path.write_bytes(data.draw(data.draw(st.sampled_from([damaged, altered]))(SPACE)))
    try:
        space = load_search_space(str(path))
        assert not space.is_finite or len(space.points()) <= 100_000
    except SpecError as error:
        assert all(str(path) == fault.where for fault in error.faults)


@pytest.mark.parametrize(
    "tau",
    [
        {"low": 1, "high": 1e18, "step": 1e-9},
        {"low": 1, "high": 10**6, "step": 1},
        {"low": 1, "high": 10**400},
        {"low": 1e308, "high": 1e308},
        {"values": [1, 10**400]},
    ],
)
def test_a_space_that_no_memory_holds_is_refused(tau):
    with pytest.raises(SpecError, match="search_space"):
        load_study(small_study(search_space={"tau": tau}))


NO_NAMES = ["a" * 300, "a\x00b", "~nobody-of-that-name/x.toml", "/dev/zero", "../" * 2000 + "x.toml", "/"]


@pytest.mark.parametrize("name", NO_NAMES, ids=lambda name: repr(name[:20]))
@pytest.mark.parametrize("key", ["search_space", "dataset", "teacher"])
def test_a_name_that_no_file_can_have_is_one_fault(name, key):
    with pytest.raises(SpecError) as refused:
        load_study(small_study(**{key: name}))
    assert len(refused.value.faults) == 1


@pytest.mark.parametrize(
    "text", ["seed=" + "9" * 5000, "alpha=" + "[" * 10_000, "description=\x1b[2J", "training.epochs=1e400", "=", "a.=1"]
)
def test_an_invalid_override_is_a_fault_or_a_string(text):
    try:
        load_study(small_study(), overrides=[text])
    except SpecError as error:
        assert error.faults
