"""Studies through Ray, in this process."""

import json
import re
from dataclasses import replace

import psutil
import pytest
import ray
import torch

import kdtune
from kdtune.catalog.builtin import STRATEGIES
from kdtune.errors import RayError
from kdtune.execution.ray.ray_daemons import RayDaemons
from kdtune.results.trial_log import TrialLog
from tests.execution.test_running import Pruner
from tests.studies import outcome_of, small_study

pytestmark = pytest.mark.study


#: A loss that waits, in trials of the study ``together``, until two processes are training.
MEETING = """
import os, time
from pathlib import Path
import torch.nn.functional as F

PLACE = Path(__file__).parent


def soft(student, teacher, labels, temperature, alpha):
    if (PLACE / "together" / "small" / "grid" / "trials.jsonl").exists():
        (PLACE / "training" / str(os.getpid())).touch()
        while len(os.listdir(PLACE / "training")) < 2:
            time.sleep(0.01)
    return F.cross_entropy(student / temperature.student, F.softmax(teacher / temperature.teacher, dim=1))
"""


def test_results_are_bit_identical_with_and_without_other_trials(running_ray, tmp_path):
    (tmp_path / "training").mkdir()
    (tmp_path / "meeting.py").write_text(MEETING)
    space, loss = {"tau": {"values": [2, 10]}}, f"{tmp_path}/meeting.py:soft"
    study = small_study(search_space=space, strategies={"grid": {}}, repeats=1, loss=loss)
    alone = kdtune.run_study(study, out=tmp_path / "alone", inline=True)
    together = kdtune.run_study(study, out=tmp_path / "together")  # two cores: two at a time
    assert ray.is_initialized()
    assert [outcome_of(result) for result in alone.results] == [outcome_of(result) for result in together.results]
    first, second = (kdtune_weights(tmp_path / run / "small" / "grid" / "student.pt") for run in ("alone", "together"))
    assert first == second
    logs = [(tmp_path / place / "small" / "grid" / "ledger") for place in ("alone", "together")]
    assert [_most_at_once(folder) for folder in logs] == [1, 2]


def kdtune_weights(path):
    return {name: value.tolist() for name, value in torch.load(path, weights_only=True).items()}


def _most_at_once(ledger):
    lines = [json.loads(line) for path in ledger.glob("*.jsonl") for line in path.read_text().splitlines()]
    return max(len(line.get("windows", {})) for line in lines if line["kind"] == "open")


def test_trials_that_fail_or_are_stopped_early_are_recorded_and_charged(running_ray, tmp_path, monkeypatch):
    # It replaces the grid, since workers look up strategies by name and only the driver calls them.
    monkeypatch.setitem(STRATEGIES._built_in, "grid", replace(STRATEGIES["grid"], import_it=lambda: Pruner))
    space = {"tau": {"values": [4, 6]}, "learning_rate": {"values": [0.05, 1e30]}}
    study = small_study(search_space=space, strategies={"grid": {}}, repeats=1)
    result = kdtune.run_study(study, out=tmp_path, max_concurrent=1).results[0]
    assert _most_at_once(tmp_path / "small" / "grid" / "ledger") == 1
    assert result["status"] == "completed"
    assert result["cost"]["trials"] == {"completed": 1, "pruned": 1, "failed": 2, "interrupted": 0}
    assert result["repeats"][0]["chosen"] == {"tau": 4, "learning_rate": 0.05}
    assert all("DivergedError" in one["error"] and "epoch 1" in one["error"] for one in result["failures"])
    trials = kdtune.load_results(tmp_path / "small").trials
    assert (trials.energy_j > 0).all() and len(trials) == 4
    assert trials.energy_j.sum() * 1e6 == pytest.approx(result["cost"]["energy_uj"]["trials"])


def test_a_study_that_finished_before_ray_died_is_complete(running_ray, tmp_path, monkeypatch):
    log = tmp_path / "small" / "fixed" / "trials.jsonl"

    def dies_at_the_end(self):
        if log.exists() and TrialLog.read(log).status == "completed":
            raise RayError("Ray's gcs_server (process 7) died")

    monkeypatch.setattr(RayDaemons, "check", dies_at_the_end)
    outcome = kdtune.run_study(small_study(strategies={"fixed": {}}, repeats=1), out=tmp_path)
    assert outcome.errors == ("fixed: Ray's gcs_server (process 7) died",)
    assert (outcome.exit_code, outcome.results[0]["status"], TrialLog.read(log).status) == (0, "completed", "completed")


def test_ray_starts_only_daemons_that_a_study_uses(running_ray):
    children = psutil.Process().children()
    started = [one for one in children if any(re.match("/.*/ray/", word) for word in one.cmdline())]
    assert sorted(one.name() for one in started) == ["gcs_server", "raylet"]


def test_more_cores_than_the_cluster_has_are_refused_instead_of_waiting(running_ray, tmp_path):
    with pytest.raises(kdtune.KdtuneError, match="cpus_per_trial 4096"):
        kdtune.run_study(small_study(), out=tmp_path, cpus_per_trial=4096)
    assert not (tmp_path / "small").exists()
