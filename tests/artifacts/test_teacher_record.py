import json
import os
import time

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kdtune.artifacts import teacher_record
from kdtune.artifacts.teacher import load_teacher
from kdtune.artifacts.teacher_record import epoch_journal, read_record, sha256_of
from kdtune.artifacts.training_context import TrainingContext
from kdtune.errors import KdtuneError
from kdtune.specs import load_study
from kdtune.storage.checksums import with_checksum
from tests.damage import damaged
from tests.studies import small_study

RECORD = {"model": "x", "given": None, "epochs": 3, "val_accuracy": 0.5, "val_loss": 1.0, "test": {"accuracy": 0.5}}


@pytest.fixture
def folder(tmp_path):
    """Return a teacher's folder with arbitrary bytes in place of weights."""
    (tmp_path / "teacher.pt").write_bytes(bytes(range(256)) * 10)
    note(tmp_path, {**RECORD, "weights_sha256": sha256_of(tmp_path / "teacher.pt")})
    return tmp_path


def note(folder, record):
    (folder / "record.json").write_text(json.dumps(record))


def flip_a_bit(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    os.utime(path, ns=(1, path.stat().st_mtime_ns + 1))  # a file system's clock may be too coarse for a test


def cut_short(path):
    path.write_bytes(path.read_bytes()[:-100])


def test_a_whole_teacher_has_its_record(folder):
    assert read_record(folder)["test"] == {"accuracy": 0.5}


@pytest.mark.parametrize("harm", [flip_a_bit, cut_short, lambda path: path.unlink()])
def test_weights_that_do_not_match_the_record_are_rejected(folder, harm):
    assert read_record(folder)
    harm(folder / "teacher.pt")
    assert read_record(folder) is None


@pytest.mark.parametrize("content", [b"", b'{"epochs": 3, "val', b"[]", b"{}", b"3", b"\xff\xfe\x00"])
def test_an_unreadable_record_counts_as_missing(folder, content):
    (folder / "record.json").write_bytes(content)
    assert read_record(folder) is None


@given(data=st.data())
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_after_any_damage_a_record_is_unchanged_or_missing(folder, data):
    note(folder, with_checksum({**RECORD, "weights_sha256": sha256_of(folder / "teacher.pt")}))
    known = read_record(folder)
    path = folder / data.draw(st.sampled_from(["teacher.pt", "record.json"]))
    raw = path.read_bytes()
    try:
        path.write_bytes(data.draw(damaged(raw)))
        os.utime(path, ns=(1, time.time_ns()))
        found = read_record(folder)  # a key that was changed to an unused name does not matter
        assert found is None or known.items() <= found.items()
    finally:
        path.write_bytes(raw)
        os.utime(path, ns=(1, time.time_ns()))


def test_without_a_record_there_is_no_teacher(folder):
    (folder / "record.json").unlink()
    assert read_record(folder) is None


def test_an_older_record_without_a_checksum_is_accepted(folder):
    note(folder, RECORD)
    assert read_record(folder) == RECORD


def test_the_weights_of_a_given_teacher_lie_elsewhere(folder):
    note(folder, {**RECORD, "given": "0123456789abcdef", "epochs": None})
    (folder / "teacher.pt").unlink()
    assert read_record(folder)["given"] == "0123456789abcdef"


def test_the_weights_are_read_once_until_they_change(folder, monkeypatch):
    read = []
    monkeypatch.setattr(teacher_record, "sha256_of", lambda path: read.append(path) or sha256_of(path))
    assert read_record(folder) and read_record(folder) and len(read) == 1
    os.utime(folder / "teacher.pt", ns=(1, 1))
    assert read_record(folder) and len(read) == 2


# Real weights


@pytest.fixture
def context_of(monkeypatch, tmp_path):
    """Return a function that creates training contexts in a separate cache, with a teacher of one epoch."""
    monkeypatch.setenv("KDTUNE_CACHE_DIR", str(tmp_path / "cache"))
    table = small_study()
    study = load_study({**table, "teacher_training": {**table["teacher_training"], "epochs": 1}})
    return lambda: TrainingContext(study, torch.device("cpu"), 1)


@pytest.mark.parametrize("file", ["teacher.pt", "record.json"])
@pytest.mark.parametrize("harm", [flip_a_bit, cut_short])
def test_a_damaged_teacher_is_trained_again_to_the_same_weights(context_of, file, harm):
    first = context_of()
    expected, folder = first.teacher.state_dict(), first.teacher_folder
    known = read_record(folder)
    if file == "record.json" and harm is flip_a_bit:
        (folder / file).write_bytes(b"\xff" + (folder / file).read_bytes()[1:])
    else:
        harm(folder / file)
    again = context_of()
    assert all(torch.equal(value, expected[name]) for name, value in again.teacher.state_dict().items())
    assert read_record(folder) == known and known["weights_sha256"] == sha256_of(folder / "teacher.pt")


def test_a_whole_teacher_is_not_trained_again(context_of, monkeypatch):
    _ = context_of().teacher
    monkeypatch.setattr(
        "kdtune.artifacts.training_context.train_teacher", lambda *given, **named: pytest.fail("was trained")
    )
    _ = context_of().teacher


def test_damaged_weights_are_never_loaded(context_of):
    context = context_of()
    _, folder = context.teacher, context.teacher_folder
    flip_a_bit(folder / "teacher.pt")
    with pytest.raises(KdtuneError, match=r"teacher.pt: not a readable teacher \(.*\); delete its folder to train it"):
        load_teacher(context.untrained_teacher(), context.study, folder)


def test_damaged_epochs_of_a_teacher_are_one_message_with_file_line_and_remedy(folder):
    journal = epoch_journal(folder)
    journal.append({"epoch": 1}, {"epoch": 2})
    assert [metrics["epoch"] for metrics in journal.read()] == [1, 2]
    journal.path.write_text('{"epoch": 1}\nnot json\n{"epoch": 3}\n')
    with pytest.raises(KdtuneError, match=r"epochs\.jsonl, line 2: damaged record .*delete the folder to train"):
        journal.read()
