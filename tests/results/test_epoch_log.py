import json

import pytest

from kdtune.errors import ResultsError
from kdtune.results.epoch_log import FIELDS, append_epochs, read_epochs, superseded
from kdtune.results.trial import Trial


def report(epoch: int) -> dict:
    return {**dict.fromkeys(FIELDS, 0.5), "epoch": epoch, "energy_uj": None, "done": False}


def test_each_epoch_is_a_line_that_names_its_attempt(tmp_path):
    path = tmp_path / "epochs.jsonl"
    trial = Trial("one", repeat=1, seed=8, index=0, point={"tau": 4}, attempts=2)
    append_epochs(path, trial, [report(1), report(2)])
    append_epochs(path, trial, [report(3)])
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert [line["epoch"] for line in lines] == [1, 2, 3]
    assert all((line["trial_id"], line["attempt"], line["seed"]) == ("one", 2, 8) for line in lines)
    assert set(lines[0]) == {"trial_id", "repeat", "seed", "attempt", *FIELDS}


def test_what_was_not_measured_is_null(tmp_path):
    path = tmp_path / "epochs.jsonl"
    append_epochs(path, Trial("one", 0, 0, 0, {}), [report(1)])
    assert json.loads(path.read_text())["energy_uj"] is None


def test_epochs_are_read_back_without_an_incomplete_last_line(tmp_path):
    path = tmp_path / "epochs.jsonl"
    append_epochs(path, Trial("one", 0, 0, 0, {}, attempts=1), [report(1), report(2), report(3)])
    path.write_bytes(path.read_bytes()[:-4])
    assert [epoch.epoch for epoch in read_epochs(path)] == [1, 2]


def test_a_damaged_line_is_an_error_with_its_number(tmp_path):
    path = tmp_path / "epochs.jsonl"
    path.write_text('{"epoch":1}\nnot json\n{"epoch":3}\n')
    with pytest.raises(ResultsError, match="line 2"):
        read_epochs(path)


def test_without_a_file_there_are_no_epochs(tmp_path):
    assert read_epochs(tmp_path / "epochs.jsonl") == []


def test_epochs_after_an_incomplete_line_can_be_read(tmp_path):
    path = tmp_path / "epochs.jsonl"
    trial = Trial("one", 0, 0, 0, {}, attempts=1)
    append_epochs(path, trial, [report(1), report(2)])
    path.write_bytes(path.read_bytes()[:-4])
    append_epochs(path, trial, [report(2), report(3)])
    assert [epoch.epoch for epoch in read_epochs(path)] == [1, 2, 3]


def test_an_epoch_that_a_later_attempt_trained_again_counts_once(tmp_path):
    path = tmp_path / "epochs.jsonl"
    for attempt, epochs in [(1, [1, 2, 3]), (2, [2, 3, 4]), (3, [4, 5])]:
        append_epochs(path, Trial("one", 0, 0, 0, {}, attempts=attempt), [report(epoch) for epoch in epochs])
        append_epochs(path, Trial("other", 0, 0, 1, {}, attempts=1), [report(attempt)])
    lines = read_epochs(path)
    counted = [line for line, again in zip(lines, superseded(lines), strict=True) if not again]
    found = [(one.trial_id, one.epoch, one.attempt) for one in counted]
    assert sorted(found) == [
        *[("one", 1, 1), ("one", 2, 2), ("one", 3, 2), ("one", 4, 3), ("one", 5, 3)],
        *[("other", 1, 1), ("other", 2, 1), ("other", 3, 1)],
    ]


def test_an_epoch_has_the_objective_where_it_is_not_the_accuracy(tmp_path):
    path = tmp_path / "epochs.jsonl"
    reports = [{**report(1), "val_objective": None}, {**report(2), "val_objective": 0.25}]
    append_epochs(path, Trial("one", 0, 0, 0, {}, attempts=1), reports)
    assert ["val_objective" in line for line in path.read_text().splitlines()] == [False, True]
    assert [epoch.val_objective for epoch in read_epochs(path)] == [None, 0.25]


def test_an_epoch_has_the_distribution_of_tau_where_it_varies(tmp_path):
    path = tmp_path / "epochs.jsonl"
    spread = {"tau_p05": 1.5, "tau_median": 4.0, "tau_p95": 9.0, "tau_by_class": (2.0, None, 6.5)}
    append_epochs(path, Trial("one", 0, 0, 0, {}, attempts=1), [report(1), {**report(2), **spread}])
    first, second = read_epochs(path)
    assert (first.tau_median, first.tau_by_class) == (None, None) and "tau_median" not in path.read_text().split("\n")[
        0
    ]
    assert (second.tau_p05, second.tau_median, second.tau_p95) == (1.5, 4.0, 9.0)
    assert second.tau_by_class == [2.0, None, 6.5]
