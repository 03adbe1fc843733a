"""With any damage to a results folder, compare works or reports the fault in one message."""

import json
import shutil
import sys
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kdtune.analysis.comparison import compare
from kdtune.analysis.data_frames import load_results
from kdtune.cli.app import main
from kdtune.energy.attribution import BUCKETS
from kdtune.errors import KdtuneError
from kdtune.report.csv_and_markdown import as_csv, as_markdown
from kdtune.report.tables import cost_table
from kdtune.results.energy_spent import record_created_artifact
from kdtune.results.epoch_log import FIELDS, append_epochs
from kdtune.results.estimate_document import save_estimate
from kdtune.results.folder import StrategyFolder, StudyFolder
from kdtune.results.outcome import write_result
from kdtune.results.session_strategies import record_session_strategies
from kdtune.results.shared_document import TeacherLogitsInput
from kdtune.results.shared_inputs import ledger_summary, write_shared
from kdtune.results.trial_log import TrialLog
from tests.damage import altered, damaged
from tests.energy.simulated import Node, two_cores
from tests.results.finished import CARBON, finished, write_ledger
from tests.results.test_estimate_document import ESTIMATE
from tests.results.test_outcome import TEACHER


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """Return a study with every file that compare reads: a searching strategy, another one, and a run put aside."""
    results = tmp_path_factory.mktemp("whole")
    write_ledger(Node(two_cores()).start().work(9, study=9).stop(), results / "logits")
    store = {"l1": TeacherLogitsInput(1, ledger_summary(results / "logits", dedicated=True))}
    for name, session in (("grid", "s0"), ("grid", "s1"), ("stochastic", "s1")):
        study = StudyFolder(results / "small")
        study.put_aside([name])
        folder = finished(results, name, session=session)
        folder.write_study(folder.read_study(), {**folder.resolved(), "teacher": "k1", "versions": {"python": "3.11"}})
        save_estimate(folder, ESTIMATE)
        energy = ledger_summary(results / "logits", dedicated=True)
        write_shared(folder, replace(TEACHER, energy=energy), store)
        write_result(folder, CARBON)
        epochs = [dict.fromkeys(FIELDS, 0.5) | {"epoch": epoch, "energy_uj": 7} for epoch in (1, 2, 3)]
        append_epochs(folder.epochs, next(iter(TrialLog.read(folder.trials).trials.values())), epochs)
    record_session_strategies(study.session("s0"), ["grid"])
    record_created_artifact(study.session("s1"), results / "logits")
    study.write_run(
        {
            "strategies": ["grid", "stochastic"],
            "options": {"cpus_per_trial": 1.0, "gpus_per_trial": 0.0, "data_dir": str(results / "data")},
            "carbon": noted(CARBON),
            "budget": {"max_kwh": 5.0},
            "study": folder.read_study().model_dump(mode="json", exclude_none=True),
        }
    )
    return study.path


def noted(carbon):
    return {key: value for key, value in carbon.as_record().items() if value is not None}


@pytest.fixture
def study(whole, tmp_path):
    """Return a copy that a test may damage."""
    return shutil.copytree(whole, tmp_path / "small")


def all_of(place):
    """Return all output of ``kdtune compare`` for results."""
    found = compare([place], allow_mismatch=True)
    json.dumps(found.as_json(), allow_nan=False)
    cost_table(found.outcomes, found.teacher)
    return as_csv(found.outcomes) + as_markdown(found.outcomes, found.teacher, "stochastic")


def compared(study, monkeypatch, capsys):
    """Return the command's standard error and its exit code."""
    monkeypatch.setattr(sys, "argv", ["kdtune", "compare", str(study)])
    with pytest.raises(SystemExit) as ended:
        main()
    return capsys.readouterr().err, ended.value.code


SESSION = {"sessions": {"s1": {}}}

#: A bucket is missing.
SUMMARY = {
    "energy_uj": dict.fromkeys(("evaluation", "orchestration", "idle", "other", "node_total"), 0),
    "sources_uj": {bucket: {} for bucket in BUCKETS},
    "charged_uj": 0,
    "gap_uj": 0,
    "flags": {},
    "wall_s": 1.0,
    "quality": "modelled",
}


@pytest.mark.parametrize(
    ("file", "damage", "remedy"),
    [
        ("grid/estimate.json", "{}", "delete it"),
        ("grid/shared.json", json.dumps(SESSION), "replace it with an intact copy"),
        ("grid/shared.json", "[]", "replace it with an intact copy"),
        ("grid/result.json", '{"cost": {"carbon": {"pue": "x"}}}', "delete it; it is built again"),
        (
            "grid/result.json",
            '{"cost": {"carbon": {"pue": "x", "intensity_g_per_kwh": 1, "source": "a"}}}',
            "delete it; it is built again",
        ),
        ("grid/trials.jsonl", '{"type":"session","id":["s1"]}\n', "--fresh"),
        ("grid/shared.json", json.dumps({"sessions": {"s1": SUMMARY}}), "replace it with an intact copy"),
        ("abandoned/grid-1/shared.json", json.dumps(SESSION), "replace it with an intact copy"),
    ],
)
def test_a_damaged_document_is_one_message_with_its_file_and_a_remedy(study, monkeypatch, capsys, file, damage, remedy):
    (study / file).write_text(damage)
    told, code = compared(study, monkeypatch, capsys)
    assert code == 2
    assert str(study / file) in told and remedy in told and len(told.splitlines()) == 1


def test_a_frozen_study_without_its_sizes_is_one_message(study, monkeypatch, capsys):
    file = study / "grid" / "study.toml"
    folder = StrategyFolder(study / "grid")
    resolved = folder.resolved()
    del resolved["workload"]
    folder.write_study(folder.read_study(), resolved)
    told, code = compared(study, monkeypatch, capsys)
    assert code == 2
    assert str(file) in told and "resolved.workload" in told and "--fresh" in told and len(told.splitlines()) == 1


@pytest.mark.parametrize("place", ["grid/ledger/x.jsonl", "sessions/s1/x.jsonl", "abandoned/grid-1/ledger/x.jsonl"])
def test_a_folder_in_the_place_of_a_ledger_is_one_message(study, monkeypatch, capsys, place):
    (study / place).mkdir()
    told, code = compared(study, monkeypatch, capsys)
    assert code == 2
    assert str(study / place) in told and "move it away" in told and len(told.splitlines()) == 1


# --- anything --------------------------------------------------------------------------------------------------

FILES = (
    "run.toml",
    "grid/study.toml",
    "grid/trials.jsonl",
    "grid/shared.json",
    "grid/estimate.json",
    "grid/result.json",
    "grid/ledger/node.jsonl",
    "sessions/s1/node.jsonl",
    "stochastic/trials.jsonl",
    "abandoned/grid-1/study.toml",
    "abandoned/grid-1/shared.json",
    "abandoned/grid-1/trials.jsonl",
    "abandoned/grid-1/ledger/node.jsonl",
    "grid/epochs.jsonl",
)


@given(data=st.data())
def test_with_any_damaged_file_compare_works_or_names_the_fault(whole, data):
    file = whole / data.draw(st.sampled_from(FILES))
    raw = file.read_bytes()
    try:
        file.write_bytes(data.draw(data.draw(st.sampled_from([damaged, altered]))(raw)))
        if data.draw(st.booleans()):
            (whole / "grid" / "result.json").rename(whole / "grid" / "gone")
        all_of(whole)
        load_results(whole)
    except KdtuneError as error:
        assert str(error)
    finally:
        if (whole / "grid" / "gone").exists():
            (whole / "grid" / "gone").rename(whole / "grid" / "result.json")
        file.write_bytes(raw)


def test_the_undamaged_study_compares(whole):
    assert all_of(whole).count("stochastic") >= 2
