import json

from kdtune.results.epochs import FIELDS, append_epochs
from kdtune.results.trials import Trial


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
