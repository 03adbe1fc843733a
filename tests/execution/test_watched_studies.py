"""Watchers and threads of a user can stop a study but not otherwise disturb it."""

import logging
import threading

import pytest
import ray

import kdtune
from kdtune.results.trial_log import TrialLog
from kdtune.results.watcher import Watcher
from tests.studies import small_study

pytestmark = pytest.mark.study

#: Its single trial lasts longer than any test.
LONG = {"epochs": 100_000, "batch_size": 32, "learning_rate": 0.05}


class Broken(Watcher):
    """Raises an error in every method, each time of a type that a study handles."""

    def __init__(self):
        self.calls = []

    def __getattribute__(self, name):
        if name not in vars(Watcher) or name == "draws_bars":
            return super().__getattribute__(name)

        def fails(*_, **__):
            self.calls.append(name)
            raise {"message": ConnectionError, "energy": kdtune.KdtuneError}.get(name, ValueError)("dashboard down")

        return fails


def test_a_watcher_that_fails_fails_no_trial(tmp_path, log_records):
    study, watcher = small_study(strategies={"none": {}}, repeats=1), Broken()
    result = kdtune.run_study(study, out=tmp_path, watcher=watcher, inline=True)
    assert (result.exit_code, result.errors) == (0, ())
    assert result.results[0]["cost"]["trials"] == {"completed": 1, "pruned": 0, "failed": 0, "interrupted": 0}
    log = TrialLog.read(tmp_path / "small" / "none" / "trials.jsonl")
    assert [trial.attempts for trial in log.trials.values()] == [1]
    assert {"started", "message", "trial_started", "epoch_done", "trial_ended", "ended"} <= {*watcher.calls}
    assert watcher.calls.index("carbon_settings") < watcher.calls.index("started")
    told = [record for record in log_records if record.name == "kdtune.results.watcher"]
    assert len(told) == len(watcher.calls) == len({*watcher.calls})
    assert all(record.levelno == logging.ERROR and record.exc_info for record in told)


class Stopping(Watcher):
    """Stops the study in the middle of a trial."""

    def __init__(self, stop):
        self._stop = stop

    def epoch_done(self, trial, epochs, metrics):
        self._stop()


def raises(error):
    def stop():
        raise error

    return stop


INLINE = [(how, True) for how in ("event", "StudyInterrupted", "KeyboardInterrupt")]


@pytest.mark.parametrize(("how", "inline"), [*INLINE, ("event", False)])
def test_a_study_is_cancelled_in_the_middle_of_a_trial(how, inline, running_ray, tmp_path):
    cancel = threading.Event()
    # The event is set by another thread, for example by a request handler of a service.
    stops = {
        "event": lambda: threading.Thread(target=cancel.set).start(),
        "StudyInterrupted": raises(kdtune.StudyInterrupted("enough")),
        "KeyboardInterrupt": raises(KeyboardInterrupt()),
    }
    study = small_study(strategies={"none": {}}, repeats=1, training=LONG)
    result = kdtune.run_study(study, out=tmp_path, watcher=Stopping(stops[how]), cancel=cancel, inline=inline)
    assert (result.exit_code, result.interrupted, result.is_settled) == (130, True, False)
    assert result.results[0]["status"] == "interrupted"
    trials = TrialLog.read(tmp_path / "small" / "none" / "trials.jsonl").trials.values()
    assert [(trial.status, trial.attempts, trial.epochs > 0) for trial in trials] == [("interrupted", 1, True)]
    cancel.set()  # a second time before anything is begun
    again = kdtune.resume_study(tmp_path / "small", cancel=cancel)
    assert (again.exit_code, again.results[0]["cost"]["trials"]["interrupted"]) == (130, 1)


class Freeing(Watcher):
    """Frees the cores of other work as soon as it receives the message that the study waits for them."""

    def __init__(self, holder):
        self.told, self._holder = [], holder

    def message(self, text):
        if text.startswith("waiting for"):
            self.told.append(text)
            ray.kill(self._holder)


class Holder:
    def is_ready(self):
        return True


def test_a_study_that_waits_for_cores_says_so(running_ray, tmp_path, monkeypatch):
    monkeypatch.setattr("kdtune.execution.ray.dispatch.MESSAGE_AFTER_S", 1.0)
    holder = ray.remote(num_cpus=2)(Holder).remote()
    ray.get(holder.is_ready.remote())
    watcher = Freeing(holder)
    result = kdtune.run_study(small_study(strategies={"none": {}}, repeats=1), out=tmp_path, watcher=watcher)
    assert result.exit_code == 0
    assert {*watcher.told} == {"waiting for 1 CPU core: other work uses the cluster's resources"}
