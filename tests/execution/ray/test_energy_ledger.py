"""The energy ledger in users' Tune experiments, and the trainable in users' pipelines."""

import json
import re
import runpy
import shutil
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import pandas
import psutil
import pytest
import torch
from pyarrow import fs
from ray import tune

import kdtune
from kdtune.artifacts.training_context import TrainingContext
from kdtune.energy.ledger import read_folder
from kdtune.energy.neighbours import shared_folder
from kdtune.energy.sensors.node import NodeSensors
from kdtune.errors import UsageError
from kdtune.execution.ray.tune_experiment import trial_resources
from kdtune.specs import load_study
from tests.docs.markdown import blocks
from tests.execution.ray.experiments import (
    SetupFails,
    SlowSetup,
    burn_once_released,
    burn_until_it_may_stop,
    delegate,
    fit,
)
from tests.forked import Forked
from tests.studies import small_study
from tests.waiting import wait_for

pytestmark = [pytest.mark.study, pytest.mark.usefixtures("running_ray")]

CHECKOUT = Path(__file__).resolve().parents[3]
PAGE = CHECKOUT / "docs" / "command-line.md"
PIPELINES = CHECKOUT / "docs" / "other-pipelines.md"


class Foreign(NamedTuple):
    """A finished experiment of three trials, of which one failed; ``refusal`` is that of another one beside it."""

    ledger: kdtune.EnergyLedger
    results: tune.ResultGrid
    refusal: str


@pytest.fixture(scope="module")
def foreign(running_ray, tmp_path_factory):
    ledger, folder = kdtune.EnergyLedger(), tmp_path_factory.mktemp("foreign")
    released = folder / "released"
    space = {"x": tune.grid_search([1, 2, 3]), "released": str(released)}
    with ThreadPoolExecutor() as threads:
        fitted = threads.submit(fit, burn_once_released, folder, ledger, param_space=space)
        try:
            wait_for(lambda: fitted.done() or list(folder.glob("study/energy_ledger/*.jsonl")))
            with pytest.raises(UsageError) as refused:
                kdtune.EnergyLedger().setup()
        finally:
            released.touch()
        return Foreign(ledger, fitted.result(), str(refused.value))


def test_a_users_trainable_is_charged_and_the_buckets_sum_exactly(foreign):
    ledger, results, _ = foreign
    assert results.num_errors == 1
    account = ledger.account()
    assert sum(account.buckets.values()) == account.node_uj
    assert sum(account.windows.values()) == account.buckets["trials"]
    assert len(account.windows) == 3 and min(account.windows.values()) > 0
    assert list((Path(results.experiment_path) / "energy_ledger").glob("*.jsonl"))
    # One row per trial, including the failed one, and the same when the ledger is read later.
    frame = ledger.frame(results).set_index("config/x")
    assert sorted(frame.index) == [1, 2, 3] and list(frame.attempts) == [1, 1, 1] and "score" in frame
    assert frame.energy_j.sum() * 1e6 == pytest.approx(account.buckets["trials"])
    later = kdtune.read_ledger(results.experiment_path)
    assert later.account() == account
    assert later.frame().sort_values("trial_id").energy_j.tolist() == frame.sort_values("trial_id").energy_j.tolist()


def test_the_frame_has_the_last_reports_also_without_the_loggers_of_tune(foreign, monkeypatch):
    ledger, results, _ = foreign
    written = ledger.frame(results).set_index("config/x").sort_index()
    monkeypatch.setattr(type(results), "get_dataframe", lambda _: pandas.DataFrame())  # as without its loggers
    frame = ledger.frame(results).set_index("config/x").sort_index()
    assert frame[["trial_id", "energy_j", "score"]].equals(written[["trial_id", "energy_j", "score"]])


def test_energy_of_a_trial_with_an_unmetered_attempt_is_unknown_and_flagged(foreign):
    ledger = kdtune.read_ledger(foreign.results.experiment_path)
    first, *others = ledger.frame().trial_id
    ledger._attempts |= {first: 2, "another": 1}  # as after attempts on nodes without a meter
    assert ledger.account().flags["trial_unmetered"] == 2
    frame = ledger.frame().set_index("trial_id")
    assert frame.attempts.to_dict() == {first: 2, "another": 1, **dict.fromkeys(others, 1)}
    assert frame.energy_j[[first, "another"]].isna().all() and (frame.energy_j[others] > 0).all()


def test_a_folder_without_a_ledger_is_refused(tmp_path):
    with pytest.raises(kdtune.ResultsError, match="there is no energy ledger"):
        kdtune.read_ledger(tmp_path)


def test_work_before_the_first_trial_is_charged(tmp_path):
    ledger = kdtune.EnergyLedger()
    fit(SlowSetup, tmp_path, ledger)
    records = [record for node in read_folder(tmp_path / "study" / "energy_ledger").values() for record in node]
    assert (records[-1].study_us - records[0].study_us) / 1e6 >= 1.0
    assert ledger.account().duration_ns / 1e9 >= 1.0
    assert ledger.account().buckets["orchestration"] > 0


def test_the_trainable_runs_under_a_scheduler_of_tune_and_reports_its_energy(tmp_path):
    training = {"epochs": 4, "batch_size": 32, "learning_rate": 0.05}
    study = small_study(strategies={"grid": {}}, training=training, teacher_training={**training, "epochs": 1})
    _ = TrainingContext(load_study(study), torch.device("cpu"), 1).teacher
    ledger = kdtune.EnergyLedger()
    results = fit(
        kdtune.DistillTrainable,
        tmp_path,
        ledger,
        param_space={"study": study, "tau": tune.uniform(2, 20)},
        tune_config=tune.TuneConfig(
            metric="val_accuracy",
            mode="max",
            num_samples=4,
            reuse_actors=True,
            scheduler=tune.schedulers.ASHAScheduler(max_t=4, grace_period=1, reduction_factor=2),
        ),
    )
    assert results.num_errors == 0
    best = results.get_best_result()
    assert best.metrics["epoch"] == best.metrics["training_iteration"]
    assert best.metrics["energy_j"] > 0
    assert "energy_uj" not in results.get_dataframe()
    account = ledger.account()
    assert sum(account.buckets.values()) == account.node_uj
    assert len(account.windows) == 4
    total_j = sum(account.windows.values()) / 1e6
    assert best.metrics["energy_j"] <= total_j


class FailsOnce(kdtune.DistillTrainable):
    """Fails after two epochs, the first time."""

    def step(self):
        failed = Path(self.config["run"]["failed"])
        if self.iteration == 2 and not failed.exists():
            failed.touch()
            raise RuntimeError("on purpose")
        return super().step()


def test_the_energy_of_a_trial_is_that_of_all_its_attempts_also_after_a_restore(tmp_path):
    training = {"epochs": 4, "batch_size": 32, "learning_rate": 0.05}
    space = {"study": small_study(training=training), "loss": "ce", "run": {"failed": str(tmp_path / "failed")}}
    every_epoch = tune.CheckpointConfig(checkpoint_frequency=1)
    run = tune.RunConfig(
        name="study",
        storage_path=str(tmp_path),
        callbacks=[kdtune.EnergyLedger()],
        checkpoint_config=every_epoch,
        verbose=0,
    )
    assert tune.Tuner(FailsOnce, run_config=run, param_space=space).fit().num_errors == 1
    ledger = kdtune.EnergyLedger(tmp_path / "study" / "energy_ledger")
    [first_uj] = ledger.account().windows.values()
    place = str(tmp_path / "study")
    [result] = tune.Tuner.restore(place, FailsOnce, resume_errored=True, param_space=space).fit()
    windows = ledger.account().windows
    assert result.metrics["epoch"] == 4 and len(windows) == 2
    assert first_uj + 1 < result.metrics["energy_j"] * 1e6 <= sum(windows.values())


@pytest.mark.parametrize("to", ["an actor", "a task"])
def test_work_of_a_trials_actor_is_charged_to_the_trial_and_that_of_a_task_is_flagged(to, tmp_path):
    ledger = kdtune.EnergyLedger()
    bundles = tune.PlacementGroupFactory([{"CPU": 0.1}, {"CPU": 1}])
    [result] = fit(tune.with_resources(delegate, bundles), tmp_path, ledger, param_space={"to": to})
    [records] = read_folder(tmp_path / "study" / "energy_ledger").values()
    [spent_us] = [record.windows[record.window.id] for record in records if record.kind == "close"]
    delegated_us = spent_us - result.metrics["own_cpu_s"] * 1e6
    account = ledger.account()
    assert ("worker_unknown" in account.flags) == (to == "a task")
    assert (delegated_us >= 1_200_000) == (to == "an actor"), delegated_us
    assert sum(account.buckets.values()) == account.node_uj


def test_gpus_of_the_trial_and_of_its_workers_are_distinguished():
    own, theirs = {"CPU": 1, "GPU": 1}, {"CPU": 2, "GPU": 0.5}
    assert trial_resources(tune.PlacementGroupFactory([own, theirs, theirs])) == (5.0, 1.0, 1.0)
    assert trial_resources(tune.PlacementGroupFactory([{}, theirs])) == (2.0, 0.0, 0.5)
    assert trial_resources(tune.PlacementGroupFactory([own])) == (1.0, 1.0, 0.0)


def test_an_experiment_without_a_first_step_is_charged(tmp_path):
    ledger = kdtune.EnergyLedger()
    assert fit(SetupFails, tmp_path, ledger).num_errors == 1
    account = ledger.account()
    records = [record for node in read_folder(tmp_path / "study" / "energy_ledger").values() for record in node]
    assert (records[-1].study_us - records[0].study_us) / 1e6 >= 1.0
    assert account.buckets["orchestration"] > 0 and set(account.flags) <= {"node_shared"}


def test_an_experiment_beside_one_in_another_thread_is_refused(foreign):
    assert "is running in this process" in foreign.refusal
    assert set(foreign.ledger.account().flags) <= {"node_shared"}


EXPERIMENT = """
import sys
import kdtune
import ray
from pyarrow import fs
from ray import tune
from kdtune.execution.ray.ray_start import only_needed_daemons
from tests.execution.ray.experiments import burn_until_it_may_stop
from tests.forked_workers import fork_workers

place, store = sys.argv[1:]
fork_workers()
with only_needed_daemons():
    ray.init(address="local", num_cpus=1, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
where = {"storage_path": place}
if store == "remote":
    where = {"storage_path": "/", "storage_filesystem": fs.SubTreeFileSystem(place, fs.LocalFileSystem())}
run = tune.RunConfig(name="study", callbacks=[kdtune.EnergyLedger()], verbose=0, **where)
tune.Tuner(burn_until_it_may_stop, param_space={"stop": f"{place}/stop"}, run_config=run).fit()
"""


class Experiment:
    """An experiment in a separate process with local or remote storage."""

    def __init__(self, place, store):
        self._place, self._store = place / store, store
        self._place.mkdir()
        self.ledger = kdtune.EnergyLedger(self._place / "study" / "energy_ledger")

    def begin(self):
        arguments = [str(self._place), self._store]
        self.process = Forked(EXPERIMENT, arguments, self._place, forks_workers=True, TUNE_GLOBAL_CHECKPOINT_S="1")

    def restore(self):
        """Let the experiment go on in this process, and come to its end."""
        (self._place / "stop").touch()
        path, store = str(self._place / "study"), {}
        if self._store == "remote":
            path, store = "study", {"storage_filesystem": fs.SubTreeFileSystem(str(self._place), fs.LocalFileSystem())}
        tuner = tune.Tuner.restore(path, burn_until_it_may_stop, resume_unfinished=True, **store)
        assert tuner.fit().num_errors == 0

    def is_under_way(self):
        """Return whether a trial was charged and Tune has saved the experiment."""
        assert self.process.poll() is None, self.process.communicate()[1][-2000:]
        charged = sum(self.ledger.account().windows.values()) > 0
        return charged and list((self._place / "study").glob("experiment_state*"))

    def kill(self):
        """Kill it; its workers and its meter, which are returned, die a moment later. Ray's agents linger."""
        children = psutil.Process(self.process.pid).children(recursive=True) if self.process.poll() is None else []
        names = {}
        for one in children:
            with suppress(psutil.NoSuchProcess):
                names[one] = one.name()
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()
        return {one: name for one, name in names.items() if name.startswith("ray::") and "Agent" not in name}


def work_for_a_second_at_full_power():
    """Work until the node has used more than a second of its highest modelled power, of which a gap is charged at most.

    Counters of a CPU, which a node may have instead, are not bounded by this power; then this takes two seconds.
    """
    sensors = NodeSensors()
    hardware, began = sensors.hardware(), sensors.read()
    while True:
        now = sensors.read()
        busy_s, passed_s = (now.busy_us - began.busy_us) / 1e6, (now.t_ns - began.t_ns) / 1e9
        used_uj = hardware.tdp_uw / hardware.cores * busy_s + hardware.ram_uw * passed_s
        if used_uj > 1.1 * (hardware.tdp_uw + hardware.ram_uw) and (passed_s > 2 or not hardware.rapl_range_uj):
            return


def has_ended(process):
    try:
        return process.status() == psutil.STATUS_ZOMBIE  # its parent has not waited for it
    except psutil.NoSuchProcess:
        return True


def test_restored_experiments_continue_their_ledgers(tmp_path):
    both = [Experiment(tmp_path, store) for store in ("local", "remote")]
    for one in both:
        one.begin()
    try:
        wait_for(lambda: all(one.is_under_way() for one in both))
    finally:
        dying = {process: name for one in both for process, name in one.kill().items()}
    assert sum(name.startswith("ray::NodeMeter") for name in dying.values()) == 2
    wait_for(lambda: all(map(has_ended, dying)))
    before = [one.ledger.account() for one in both]
    work_for_a_second_at_full_power()
    began_s = time.monotonic()
    for one in both:
        one.restore()
    after_s = time.monotonic() - began_s
    for one, then in zip(both, before, strict=True):
        account = one.ledger.account()
        [(trial, first), (_, second)] = sorted(window.rsplit("/", 1) for window in account.windows)
        assert (first, second) == ("1", "2")
        assert account.windows[f"{trial}/1"] == then.windows[f"{trial}/1"]
        assert account.windows[f"{trial}/2"] > 0
        assert account.flags["gap"] == 1 and account.gap_uj > 0
        assert (account.duration_ns - then.duration_ns) / 1e9 < after_s
        assert sum(account.buckets.values()) == account.node_uj


class Refusing(tune.Callback):
    """A callback that ends the experiment without a report of Tune to the other callbacks."""

    def setup(self, *_, **__):
        raise KeyboardInterrupt


def test_finished_and_failed_experiments_leave_no_registered_meter(foreign, tmp_path):
    unfinished, without_a_trial = kdtune.EnergyLedger(), kdtune.EnergyLedger()
    run = tune.RunConfig(name="failed", storage_path=str(tmp_path), callbacks=[unfinished, Refusing()], verbose=0)
    with pytest.raises(KeyboardInterrupt):
        tune.Tuner(burn_until_it_may_stop, run_config=run, param_space={"stop": str(tmp_path)}).fit()
    without_a_trial.setup()
    without_a_trial.on_experiment_end(trials=[])
    lines = map(json.loads, (shared_folder() / "meters.jsonl").read_text().splitlines())
    held = {line["meter"]: line["held"] for line in lines}
    for one in (unfinished, without_a_trial, foreign.ledger):
        assert held.get(one._registry._id) is None
        assert not (shared_folder() / f"{one._registry._id}.alive").exists()


def test_the_example_in_the_documentation_runs(tmp_path, monkeypatch, capsys):
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    example = next(block for block in blocks if "EnergyLedger" in block)
    assert len(example.strip().splitlines()) <= 15
    assert "num_samples=4" in example and '"digits-hkd"' in example
    training = {"epochs": 1, "batch_size": 32, "learning_rate": 0.05}
    study = small_study(training=training, teacher_training=training)
    # Every line runs all the same.
    short = example.replace("num_samples=4", "num_samples=1").replace('"digits-hkd"', repr(study))
    (tmp_path / "example.py").write_text(short)
    # The default of Tune, which reads it from the environment only once.
    monkeypatch.setattr("ray.train.constants.DEFAULT_STORAGE_PATH", str(tmp_path / "ray_results"))
    runpy.run_path(str(tmp_path / "example.py"), run_name="__main__")
    assert list((tmp_path / "ray_results").glob("*/energy_ledger/*.jsonl"))
    assert re.search(r"^tau .* J\nthe whole search: .* J$", capsys.readouterr().out, re.MULTILINE)


def test_the_example_of_a_users_own_trainable_runs(tmp_path, monkeypatch, capsys):
    [example] = [block for block in blocks(PIPELINES, "python") if "Progress()" in block]
    (tmp_path / "example.py").write_text(example)
    monkeypatch.setattr("ray.train.constants.DEFAULT_STORAGE_PATH", str(tmp_path / "ray_results"))
    runpy.run_path(str(tmp_path / "example.py"), run_name="__main__")
    printed = capsys.readouterr().out
    assert len(re.findall(r"^\w+: [\d.]+ J so far", printed, re.MULTILINE)) == 2
    assert re.search(r"config/factor +loss +energy_j\n0 ", printed)


class Spoiling(tune.Callback):
    """Removes the ledger's folder once a trial has begun, like a disk that is unmounted."""

    def __init__(self, folder):
        self._folder = folder

    def on_trial_start(self, *_, **__):
        shutil.rmtree(self._folder)
        self._folder.write_text("in the way")


def test_a_ledger_that_cannot_be_written_fails_no_trial(tmp_path, log_records):
    place = tmp_path / "ledger"
    callbacks = [kdtune.EnergyLedger(place), Spoiling(place)]
    run = tune.RunConfig(name="study", storage_path=str(tmp_path), callbacks=callbacks, verbose=0)
    tuner = tune.Tuner(kdtune.DistillTrainable, run_config=run, param_space={"study": small_study(), "loss": "ce"})
    [result] = tuner.fit()
    assert result.error is None and result.metrics["done"] and result.metrics["energy_j"] is None
    assert any("cannot be written" in str(record.exc_info) for record in log_records)
