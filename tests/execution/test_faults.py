"""A real study under successive faults. The complete matrix is in ``benchmarks/faults.py``."""

import os
import subprocess
from contextlib import suppress

import psutil
import pytest

from benchmarks import driving, faults, kills
from kdtune.energy.ledger import read
from kdtune.results.epoch_log import read_epochs
from tests.forked import begin
from tests.studies import here

pytestmark = pytest.mark.study

#: Two temperatures and 8 epochs instead of four and 120: enough for faults in the middle of a training. One worker,
#: since a command that waits for the start of another one would be ended by its watching thread.
STUDY = ["study", "digits-hkd", "-s", kills.STRATEGY, "--repeats", "1", "--epochs", "8"]
STUDY += ["--set", "teacher_training.epochs=2", "--set", "teacher_training.milestones=[1]"]
STUDY += ["--set", "search_space.tau.step=18", "--max-concurrent", "1", "--no-report", "--set", "loss=./held.py:held"]

#: With a budget, which is checked after each epoch, each epoch is reported at once.
REPORTS_EACH_EPOCH = ["--max-kwh", "1"]

#: A loss, which waits while a file ``hold-2`` exists and the study has reported more than two epochs. So the training
#: is in the middle when the fault occurs, however long that takes.
HELD = """
import time
from pathlib import Path

import torch.nn.functional as F

PLACE = Path(__file__).parent
EPOCHS = PLACE / "results" / "digits-hkd" / "grid" / "epochs.jsonl"


def must_wait():
    reported = EPOCHS.read_bytes().count(b"\\n") if EPOCHS.exists() else 0
    return any(reported > int(path.name[5:]) for path in PLACE.glob("hold-*"))


def held(student, teacher, labels, temperature, alpha):
    while must_wait():
        time.sleep(0.01)
    softened = F.softmax(teacher / temperature.teacher, dim=1)
    distillation = F.cross_entropy(student / temperature.student, softened)
    return alpha * distillation + (1 - alpha) * F.cross_entropy(student, labels)
"""


@pytest.fixture
def place(tmp_path):
    """A folder on a separate small disk, if this user may mount one."""
    place = tmp_path / "struck"
    place.mkdir()
    disk = ["mount", "-t", "tmpfs", "-o", f"size={faults.DISK_BYTES}", "tmpfs", str(place)]
    mounted = os.geteuid() == 0 and subprocess.run(disk, capture_output=True).returncode == 0
    yield place, mounted
    if mounted:
        subprocess.run(["umount", "--lazy", str(place)], check=True)


def begun(place, arguments):
    """Start or resume the study, and wait until a trial has reported an epoch and waits within another one."""

    def reported():
        return len(read_epochs(faults.strategy_folder(place) / "epochs.jsonl"))

    known = reported()
    (place / f"hold-{known}").touch()
    process = begin([*arguments, *REPORTS_EACH_EPOCH], place)
    driving.wait_for(process, lambda: reported() > known and has_checkpoints(place))
    return process


def has_checkpoints(place):
    return any(path.suffix == ".pt" for folder in faults.checkpoints(place) for path in folder.iterdir())


def let_go(place):
    for path in place.glob("hold-*"):
        path.unlink()


def ended(place, study):
    """Exit code and messages of a command under a fault."""
    code = study.wait()  # Ray alone would end the process too, after 60 s and without a message
    assert "Traceback" not in (place / "said.txt").read_text()
    return code, faults.told(place)


def test_faults_are_reported_and_the_resumed_study_has_the_same_results(tmp_path, place):
    """Ray runs the study until one of its daemons is killed; then the study continues inline, which takes less time."""
    place, mounted = place
    (place / "held.py").write_text(HELD)
    resume = ["resume", str(place / "results" / "digits-hkd"), "--inline", "--no-report"]
    go_on = "Not finished. Continue with: kdtune resume ./results/digits-hkd"

    study = begun(place, STUDY)
    descendants = psutil.Process(study.pid).children(recursive=True)
    faults.kill_daemon("gcs_server")(place, study)
    code, told = ended(place, study)
    for process in descendants:  # a worker, which notices later that Ray has died, would continue the training
        with suppress(psutil.NoSuchProcess):
            process.kill()
    let_go(place)
    assert code == 1 and told[-1] == go_on
    assert "Ray's gcs_server (process" in told[-2] and told[-2].endswith("died")
    # The meter died with Ray; the command closed its ledger.
    ledgers = [read(path) for path in place.glob("results/digits-hkd/**/*.jsonl") if "ledger" in str(path)]
    assert ledgers and all(records[-1].kind == "stop" for records in ledgers)

    if mounted:
        study = begun(place, resume)
        faults.fill_disk(place, study)
        let_go(place)
        code, told = ended(place, study)
        assert code == 1 and told[-1] == go_on
        assert "cannot be written (No space left on device); free space there" in told[-2]
        faults.empty_disk(place)

    assert has_checkpoints(place)
    faults.spoil_checkpoints(place)
    resumed = here("resume", str(place / "results" / "digits-hkd"), "--no-report", cwd=place)
    assert resumed.returncode == 0, resumed.stdout + resumed.stderr
    assert not any('"failed"' in line for line in kills.trial_log(place).read_text().splitlines())

    undisturbed = tmp_path / "undisturbed"
    undisturbed.mkdir()
    (undisturbed / "held.py").write_text(HELD)
    done = here(*STUDY, "--inline", cwd=undisturbed)
    assert done.returncode == 0, done.stdout + done.stderr
    assert faults.outcome(place) == faults.outcome(undisturbed)
    if not mounted:
        pytest.skip("no separate disk could be mounted here, so none was filled; the other checks passed")
