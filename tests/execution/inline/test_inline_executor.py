"""Studies in this process: same results and metering as through Ray, and the state of the process is restored."""

import json
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


#: The strategies, of which asha stops two of three trials after the first epoch.
STRATEGIES = {
    "grid": {},
    "stochastic": {},
    "asha": {"rungs": 2},
    "optuna": {"trials": 3, "startup_trials": 1, "pruning": True},
}


#: Few steps in each epoch: no test needs a good model.
TRAINING = {"epochs": 3, "batch_size": 100, "learning_rate": 0.05, "weight_decay": 5e-4}


def study_of_all():
    return small_study(strategies=STRATEGIES, repeats=2, training=TRAINING, teacher_training=TRAINING)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A finished study: its folder and its results."""
    study = study_of_all()
    state = random.getstate(), torch.random.get_rng_state().tolist(), torch.get_num_threads()
    result = kdtune.run_study(study, out=tmp_path_factory.mktemp("inline"), inline=True)
    # The state of the process is restored.
    assert (random.getstate(), torch.random.get_rng_state().tolist(), torch.get_num_threads()) == state
    assert result.exit_code == 0, result.errors
    return result


def test_results_through_ray_are_bit_identical(finished, running_ray, tmp_path):
    study = study_of_all()
    # One trial at a time, since each worker imports torch; ray/test_ray_studies.py tests several at the same time.
    through_ray = kdtune.run_study(study, ["stochastic", "asha"], out=tmp_path, max_concurrent=1)
    assert [outcome_of(one) for one in finished.results[1:3]] == [outcome_of(one) for one in through_ray.results]
    for strategy in ("stochastic", "asha"):
        here, there = (one.folder / strategy for one in (finished, through_ray))
        assert weights(here) == weights(there)
        by_trial = [sorted(epochs(one), key=lambda line: (line["trial_id"], line["epoch"])) for one in (here, there)]
        assert by_trial[0] == by_trial[1]


def test_a_trial_that_goes_on_after_a_rung_ends_as_if_it_had_never_stopped(finished):
    grid, asha = (TrialLog.read(finished.folder / one / "trials.jsonl") for one in ("grid", "asha"))
    whole = {trial.id: trial for trial in grid.trials.values()}
    assert asha.trials.keys() == whole.keys()
    ended = [(trial.status, trial.epochs, trial.attempts) for trial in asha.trials.values()]
    assert sorted(ended) == [("completed", 3, 2)] * 2 + [("pruned", 1, 1)] * 4
    for trial in asha.trials.values():
        if trial.status == "completed":
            assert (trial.val_accuracy, trial.val_loss) == (whole[trial.id].val_accuracy, whole[trial.id].val_loss)
    # No epoch was trained twice: a rung ends with a checkpoint.
    lines = [(line["trial_id"], line["epoch"]) for line in epochs(finished.folder / "asha")]
    assert len(lines) == len({*lines}) == 2 * 3 + 4
    cost = finished.results[2]["cost"]
    assert (cost["trials"], cost["models"]) == ({"completed": 2, "pruned": 4, "failed": 0, "interrupted": 0}, 2)
    assert not (finished.folder / "asha" / "checkpoints").exists()


#: A command that is killed as soon as so many epochs were reported.
KILLED = """
import json, os, signal, sys
import kdtune

class Killing(kdtune.Watcher):
    left = int(sys.argv[1])

    def epoch_done(self, *_):
        self.left -= 1
        if not self.left:
            os.kill(os.getpid(), signal.SIGKILL)

study, labels, out = json.loads(sys.argv[2])
begun = os.path.exists(os.path.join(out, study["name"], "run.toml"))
how = {"watcher": Killing(), "max_kwh": 1e3, "inline": True}
if begun:
    kdtune.resume_study(os.path.join(out, study["name"]), **how)
else:
    kdtune.run_study(study, labels, out=out, **how)
"""


@pytest.mark.parametrize("strategy", ["asha", "optuna"])
def test_kills_in_the_middle_of_rungs_change_nothing(finished, tmp_path, strategy):
    """With a budget, every epoch is reported, so that the kills hit each rung."""
    study = json.dumps([study_of_all(), [strategy], str(tmp_path)])
    for _ in range(2):
        process = Forked(KILLED, ["4", study])
        process.communicate()
        assert process.returncode == -signal.SIGKILL
    resumed = kdtune.resume_study(tmp_path / "small", inline=True)
    undisturbed = {one["strategy"]: one for one in finished.results}[strategy]
    assert [outcome_of(one) for one in resumed.results] == [outcome_of(undisturbed)]
    here, there = (one.folder / strategy for one in (resumed, finished))
    assert weights(here) == weights(there)
    told, expected = (
        {(line["trial_id"], line["epoch"]): line | {"attempt": 0} for line in epochs(one)} for one in (here, there)
    )
    assert told == expected


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


def test_the_model_that_a_strategy_chooses_is_tested_even_if_another_one_is_better(tmp_path):
    (tmp_path / "mine.py").write_text(
        "from kdtune.specs.suggestion import Suggestion\n"
        "from kdtune.strategies.base import OneRound\n\n\n"
        "class Mine(OneRound):\n"
        "    chooses = True\n\n"
        "    def suggestions(self):\n"
        "        return [Suggestion(values={'tau': tau}) for tau in (2, 6, 10)]\n\n"
        "    def choice(self):\n"
        "        worst = min(self.told, key=lambda one: one.score)\n"
        "        return worst.suggestion\n\n"
        "    def tell(self, outcomes):\n"
        "        self.told = outcomes\n"
    )
    study = small_study(repeats=1, strategies={"mine": {"strategy": f"{tmp_path}/mine.py:Mine"}})
    result = kdtune.run_study(study, out=tmp_path / "results", inline=True)
    assert result.exit_code == 0, result.errors
    trials = TrialLog.read(result.folder / "mine" / "trials.jsonl").trials.values()
    worst = min(trials, key=lambda trial: trial.val_accuracy)
    [repeat] = result.outcomes[0].repeats
    assert repeat.chosen == worst.point and repeat.test and (result.folder / "mine" / "student.pt").is_file()


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
        study += ["--set", "teacher_training.epochs=2", "--set", "teacher_training.milestones=[1]"]
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
