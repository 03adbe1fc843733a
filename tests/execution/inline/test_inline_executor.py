"""Studies in this process: same results and metering as through Ray, and the state of the process is restored."""

import os
import random
import signal
import time
from dataclasses import asdict

import pytest
import torch

import kdtune
from kdtune.energy.ledger import read_folder
from kdtune.errors import MachineError
from kdtune.results.epoch_log import read_epochs
from kdtune.results.folder import StrategyFolder
from kdtune.results.trial_log import TrialLog
from tests.forked import Forked
from tests.studies import outcome_of, small_study
from tests.waiting import wait_for

pytestmark = pytest.mark.study

ENERGY = {"energy_uj", "energy_j"}


def weights(folder):
    return {name: value.tolist() for name, value in torch.load(folder / "student.pt", weights_only=True).items()}


def epochs(folder):
    """All metrics of all epochs, without energy."""
    return [
        {key: value for key, value in asdict(line).items() if key not in ENERGY}
        for line in read_epochs(folder / "epochs.jsonl")
    ]


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A finished study: its folder and its results."""
    study = small_study(strategies={"grid": {}, "stochastic": {}}, repeats=2)
    state = random.getstate(), torch.random.get_rng_state().tolist(), torch.get_num_threads()
    result = kdtune.run_study(study, out=tmp_path_factory.mktemp("inline"), inline=True)
    # The state of the process is restored.
    assert (random.getstate(), torch.random.get_rng_state().tolist(), torch.get_num_threads()) == state
    assert result.exit_code == 0, result.errors
    return result


def test_results_through_ray_are_bit_identical(finished, running_ray, tmp_path):
    study = small_study(strategies={"grid": {}, "stochastic": {}}, repeats=2)
    through_ray = kdtune.run_study(study, "stochastic", out=tmp_path)
    assert outcome_of(finished.results[1]) == outcome_of(through_ray.results[0])
    here, there = (one.folder / "stochastic" for one in (finished, through_ray))
    assert weights(here) == weights(there)
    by_trial = [sorted(epochs(one), key=lambda line: (line["trial_id"], line["epoch"])) for one in (here, there)]
    assert by_trial[0] == by_trial[1]


def test_every_joule_is_in_a_bucket_and_every_training_has_a_window(finished):
    for result in finished.results:
        assert StrategyFolder(finished.folder / result["strategy"]).resolved()["executor"] == "inline"
        energy = dict(result["cost"]["energy_uj"])
        total = energy.pop("node_total")
        assert sum(energy.values()) == total and energy["trials"] > 0 and energy["evaluation"] > 0
        assert not {"unended", "gap", "trial_unmetered"} & result["cost"]["flags"].keys()
        folder = finished.folder / result["strategy"]
        (records,) = read_folder(folder / "ledger").values()
        opened = [record.window.id for record in records if record.kind == "open" and record.window]
        trials = TrialLog.read(folder / "trials.jsonl").trials.values()
        assert {trial.window(1) for trial in trials} <= {*opened}
        assert (records[0].kind, records[-1].kind) == ("start", "stop")


def wait_for_epochs(process, file, least):
    """Wait until a command has reported some epochs."""

    def is_time():
        assert process.poll() is None, process.communicate()[1]
        return len(read_epochs(file)) >= least

    wait_for(is_time)


class Began:
    """A command in a separate process that has begun to train."""

    def __init__(self, cwd, *more):
        study = ["study", "digits-hkd", "-s", "fixed", "--inline", "--repeats", "1", "--epochs", "100000", *more]
        self.folder = cwd / "results" / "digits-hkd"
        self.process = Forked(None, study, cwd)
        wait_for_epochs(self.process, self.folder / "fixed" / "epochs.jsonl", 2)

    def end(self, number):
        self.process.send_signal(number)
        out, err = self.process.communicate()
        return self.process.returncode, out, err

    def trial(self):
        (trial,) = TrialLog.read(self.folder / "fixed" / "trials.jsonl").trials.values()
        return trial


def test_a_study_resumes_after_a_kill_and_after_a_signal(tmp_path):
    begun = Began(tmp_path)
    assert begun.end(signal.SIGKILL)[0] == -signal.SIGKILL
    for number in (signal.SIGTERM, signal.SIGINT):
        resumed = Forked(None, ["resume", str(begun.folder)], tmp_path)
        epochs = begun.folder / "fixed" / "epochs.jsonl"
        wait_for_epochs(resumed, epochs, len(read_epochs(epochs)) + 2)
        resumed.send_signal(number)
        out, err = resumed.communicate()
        assert resumed.returncode == 130, err
        assert "starting the energy meter" in err and "kdtune resume" in out and "Traceback" not in err
        assert "starting Ray" not in err
    trial = begun.trial()
    assert (trial.status, trial.attempts) == ("interrupted", 3)
    told = [line.epoch for line in read_epochs(begun.folder / "fixed" / "epochs.jsonl")]
    # It continued from checkpoints: epochs after the last one are trained again, and none is missing.
    assert max(told) == len({*told}) < len(told) + 1 < 3 * max(told)


def test_a_job_with_environment_variables_runs_in_a_separate_process(tmp_path):
    from kdtune.execution.inline.separate_process import run_separately

    polled = []
    found = run_separately(os.getenv, ("KDTUNE_TEST",), {"KDTUNE_TEST": "seen"}, lambda: polled.append(1))
    assert found == "seen" and "KDTUNE_TEST" not in os.environ
    with pytest.raises(kdtune.KdtuneError, match="ZeroDivisionError"):
        run_separately(divmod, (1, 0), {}, lambda: None)
    with pytest.raises(MachineError, match=r"a process died \(7\)"):
        run_separately(os._exit, (7,), {}, lambda: None)

    def stop():
        raise kdtune.StudyInterrupted("enough")

    with pytest.raises(kdtune.StudyInterrupted):
        run_separately(time.sleep, (3600,), {}, stop)  # longer than any test may take
