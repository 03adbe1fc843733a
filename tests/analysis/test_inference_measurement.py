"""Measurement of inference for a finished study with real networks and hand-written trials."""

import json
import math
import os
import re
import shutil

import pytest
import torch

import kdtune
from kdtune.analysis.payback import paybacks
from kdtune.artifacts.training_context import TrainingContext
from kdtune.energy.carbon import Carbon
from kdtune.energy.ledger import read
from kdtune.energy.running_account import account_of_ledger
from kdtune.errors import DataError, MachineError, ResultsError, UsageError
from kdtune.report.inference_table import payback_line
from kdtune.results.documents import read_object
from kdtune.results.folder import StrategyFolder
from kdtune.results.trial_log import TrialLog
from kdtune.specs.component import Component
from kdtune.storage.records import as_record
from tests.analysis.conftest import OWN
from tests.results.finished import WORKLOAD
from tests.results.typed import strategy_result
from tests.studies import small_study


@pytest.fixture
def study(made, tmp_path):
    """Return a copy that a test may change."""
    return shutil.copytree(made, tmp_path / "small")


@pytest.fixture(scope="module")
def measured(made, tmp_path_factory):
    """Return the folder and the documents of one measurement of both strategies."""
    folder = shutil.copytree(made, tmp_path_factory.mktemp("measured") / "small")
    threads, random_state = torch.get_num_threads(), torch.random.get_rng_state()
    documents = kdtune.measure_inference(folder, seconds=0.3, device="cpu", cpus=1)
    assert torch.get_num_threads() == threads and torch.equal(torch.random.get_rng_state(), random_state)
    return folder, [document.as_json() for document in documents]


def files_of(folder):
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def change(folder, **resolved):
    folder = StrategyFolder(folder)
    folder.write_study(folder.read_study(), {**folder.resolved(), **resolved})


def test_each_strategy_has_a_document_and_one_student_is_timed(measured):
    folder, documents = measured
    assert [document["strategy"] for document in documents] == ["stochastic", "fixed"]
    for document in documents:
        assert read_object(folder / document["strategy"] / "inference.json") == document
        assert document["timed_student"] == "stochastic"
        assert document["teacher"] == documents[0]["teacher"]
        assert (document["batch_size"], document["test_images"], document["threads"]) == (128, 997, 1)
        for role in ("teacher", "student"):
            one = document[role]
            assert one["wall_s"] >= 0.3 and one["images"] == 997 * one["passes"]
            assert one["uj_per_image"] * one["images"] == pytest.approx(one["charged_uj"])
            assert 0 < one["static_uj"] <= one["charged_uj"] and one["uncertainty_uj"] > 0
    assert not (folder / "fixed" / "inference").exists()
    assert documents[0]["teacher"]["macs"] == WORKLOAD["teacher_macs"]


def test_nothing_in_a_document_is_a_path_or_a_date(measured):
    text = json.dumps(measured[1])
    assert os.sep not in text and not re.search(r"\b20\d\d-", text)


def test_the_ledger_has_the_windows_of_all_turns_and_an_end(measured):
    folder, documents = measured
    [file] = (folder / "stochastic" / "inference" / "ledger").glob("*.jsonl")
    records = read(file)
    account = account_of_ledger(records)
    assert records[-1].kind == "stop" and sum(account.buckets.values()) == account.node_uj
    for role in ("teacher", "student"):
        of_it = [uj for window, uj in account.windows.items() if window.startswith(f"{role}-")]
        # A slow machine needs all of the time for one turn.
        assert of_it and sum(of_it) == documents[0][role]["energy_uj"]["evaluation"]


def test_every_student_is_tested_and_compared_with_its_record(measured):
    folder, documents = measured
    context = TrainingContext(kdtune.load_study(small_study(repeats=1, **OWN)), torch.device("cpu"), threads=1)
    test = context.splits.test
    for document in documents:
        weights = torch.load(folder / document["strategy"] / "student.pt", weights_only=True)
        student = context.student(weights).eval()
        right = int((student(test.normalised(slice(None))).argmax(1) == test.labels).sum())
        assert document["student"]["test_accuracy"] == right / 997
        assert document["student"]["recorded_test_accuracy"] == 0.5
    accuracies = {document["student"]["test_accuracy"] for document in documents}
    assert len(accuracies) == 2
    teacher = documents[0]["teacher"]
    assert teacher["test_accuracy"] == pytest.approx(teacher["recorded_test_accuracy"])
    assert teacher["test_accuracy"] > 0.5


def test_each_strategy_repays_its_own_charge(measured):
    folder, documents = measured
    for document in documents:
        result = read_object(folder / document["strategy"] / "result.json")
        saved_uj = document["saved_uj_per_image"]  # of one or more turns, and on a busy machine of any sign
        assert document["payback"]["one_model"]["charged_uj"] == result["repeats"][0]["charged_uj"]
        assert document["payback"] == as_record(paybacks(saved_uj, strategy_result(result).cost, shared=False))
        # These strategies tell of no teacher's energy, so what it took is not known.
        assert document["payback"]["with_teacher"]["charged_uj"] is None
    assert documents[0]["payback"] != documents[1]["payback"]


def test_compare_shows_the_payback_of_the_current_charge(measured, tmp_path):
    folder = shutil.copytree(measured[0], tmp_path / "small")
    (folder / "stochastic" / "trials.jsonl").write_text("")
    [stochastic] = [one for one in kdtune.compare([folder]).inference if one.strategy == "stochastic"]
    assert stochastic.payback.one_model.charged_uj is None
    assert "stochastic" not in payback_line([stochastic])


def test_measuring_again_replaces_the_document_and_continues_the_ledger(study):
    one = study / "fixed"
    first, second = (
        kdtune.measure_inference(one, seconds=0.05, device="cpu", carbon=Carbon(2.0, 100.0, "a test")) for _ in range(2)
    )
    assert read_object(one / "inference.json") == second[0].as_json() != first[0].as_json()
    assert second[0].carbon.pue == 2.0 and second[0].timed_student == "fixed"
    [file] = (one / "inference" / "ledger").glob("*.jsonl")
    assert [record.kind for record in read(file)].count("start") == 2
    assert kdtune.compare([study]).inference == second


def refused(study, kind, *words, **given):
    """Check that the measurement is refused with these words and nothing is written."""
    before = files_of(study)
    with pytest.raises(kind) as error:
        kdtune.measure_inference(study, seconds=0.01, **given)
    assert error.value.exit_code == 2
    for word in words:
        assert word in str(error.value)
    assert files_of(study) == before
    return str(error.value)


def test_a_missing_or_damaged_student_is_reported(study):
    (study / "fixed" / "student.pt").write_bytes(b"no weights")
    refused(study, ResultsError, "fixed/student.pt", "convnet_2_4_4", device="cpu")
    (study / "fixed" / "student.pt").unlink()
    refused(study, ResultsError, "fixed/student.pt", "is missing", "fresh=True")


def test_a_teacher_that_is_not_in_the_cache_is_reported_once(study, tmp_path, monkeypatch):
    monkeypatch.setenv("KDTUNE_CACHE_DIR", str(tmp_path / "another"))
    told = refused(study, ResultsError, "the teacher of small", "KDTUNE_CACHE_DIR", "out=DIR")
    assert len(told.splitlines()) == 1


def test_missing_given_weights_are_reported(study):
    folder = StrategyFolder(study / "fixed")
    folder.write_study(folder.read_study().model_copy(update={"teacher_weights": "a" * 16}), folder.resolved())
    refused(study / "fixed", ResultsError, "is not in the cache", "teacher=FILE")


def test_an_unfinished_strategy_is_reported_with_other_faults(study):
    TrialLog.read(study / "fixed" / "trials.jsonl").suggestion("more", 0, 0, 1, {"tau": 3})
    (study / "stochastic" / "student.pt").unlink()
    told = refused(study, ResultsError, "fixed: is incomplete", "kdtune resume", "stochastic/student.pt")
    assert len(told.splitlines()) == 2


def test_another_machine_than_the_studys_is_refused_unless_the_device_is_named(study):
    refused(study, UsageError, "ran on a CPU, but this machine has", "device cpu")


def test_a_missing_gpu_is_reported(study, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    refused(study, UsageError, "device cuda", "kdtune doctor", device="cuda")
    change(study / "stochastic", gpus_per_trial=1.0)
    refused(study / "stochastic", UsageError, "ran on a GPU", "device cpu")


def test_missing_or_different_data_are_reported(study, tmp_path):
    change(study / "fixed", data="0123456789ab")
    refused(study / "fixed", UsageError, "other files of digits", "data_dir=DIR", device="cpu")
    folder = StrategyFolder(study / "stochastic")
    spec = folder.read_study().model_copy(update={"dataset": Component(name="fashion_mnist")})
    folder.write_study(spec, folder.resolved())
    refused(study / "stochastic", DataError, str(tmp_path), "data_dir", device="cpu", data_dir=tmp_path)


def test_a_damaged_earlier_ledger_is_reported_before_measuring(study):
    ledger = study / "stochastic" / "inference" / "ledger" / "node.jsonl"
    ledger.parent.mkdir(parents=True)
    ledger.write_text('{"kind": "start"}\n')
    refused(study, ResultsError, "node.jsonl, line 1", device="cpu")


def test_all_invalid_arguments_are_reported_together(study):
    told = refused(
        study, UsageError, "batch_size", "cpus", "'gpu'; known: cpu, cuda", batch_size=0, cpus=10**6, device="gpu"
    )
    assert len(told.splitlines()) == 3
    for seconds in (0.0, math.inf):
        with pytest.raises(UsageError, match="seconds: must be a finite number above 0"):
            kdtune.measure_inference(study, seconds=seconds)


def test_a_folder_that_cannot_be_written_is_reported(study, monkeypatch):
    monkeypatch.setattr("kdtune.energy.meter_ledger.write", _no_room)
    with pytest.raises(MachineError, match=r"cannot be written \(No space left on device\); free space there"):
        kdtune.measure_inference(study, seconds=0.01, device="cpu")


def _no_room(path, record):
    raise OSError(28, "No space left on device", str(path))
