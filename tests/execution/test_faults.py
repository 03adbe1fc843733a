"""A real study under successive faults. The complete matrix is in ``benchmarks/faults.py``."""

import os
import subprocess

import pytest

from benchmarks import driving, faults, kills
from kdtune.energy.ledger import read
from kdtune.results.epoch_log import read_epochs
from tests.studies import here

pytestmark = pytest.mark.study

#: Three temperatures and 25 epochs instead of four and 120: enough for faults in the middle of a training. One worker,
#: since a command that waits for the start of another one would be ended by its watching thread.
STUDY = ["study", "digits-hkd", "-s", kills.STRATEGY, "--repeats", "1", "--epochs", "25"]
STUDY += ["--set", "search_space.tau.step=9", "--max-concurrent", "1", "--set", "loss=./held.py:held"]

#: A loss, which waits while the file ``hold`` exists and the study has reported more epochs than the file says. So the
#: training is in the middle when the fault occurs, however long that takes.
HELD = """
import time
from pathlib import Path

import torch.nn.functional as F

HOLD = Path(__file__).with_name("hold")
EPOCHS = HOLD.parent / "results" / "digits-hkd" / "grid" / "epochs.jsonl"


def held(student, teacher, labels, temperature, alpha):
    while HOLD.exists() and EPOCHS.exists() and EPOCHS.read_bytes().count(b"\\n") > int(HOLD.read_text() or "0"):
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


def begin(place, arguments):
    """Start or resume the study, and wait until a trial has reported an epoch and waits within another one."""

    def reported():
        return len(read_epochs(faults.strategy_folder(place) / "epochs.jsonl"))

    known = reported()
    (place / "hold").write_text(str(known))
    process = driving.begin(arguments, place)
    driving.wait_for(process, lambda: reported() > known)
    return process


def ended(place, study):
    """Exit code and messages of a command under a fault."""
    code = study.wait()  # Ray alone would end the process too, after 60 s and without a message
    (place / "hold").unlink(missing_ok=True)
    assert "Traceback" not in (place / "said.txt").read_text()
    return code, faults.told(place)


def test_faults_are_reported_and_the_resumed_study_has_the_same_results(tmp_path, place):
    """Ray runs the study until one of its daemons is killed; then the study continues inline, which takes less time."""
    place, mounted = place
    (place / "held.py").write_text(HELD)
    resume = ["resume", str(place / "results" / "digits-hkd"), "--inline"]
    go_on = "Not finished. Continue with: kdtune resume ./results/digits-hkd"

    study = begin(place, STUDY)
    faults.kill_daemon("gcs_server")(place, study)
    code, told = ended(place, study)
    assert code == 1 and told[-1] == go_on
    assert "Ray's gcs_server (process" in told[-2] and told[-2].endswith("died")
    # The meter died with Ray; the command closed its ledger.
    ledgers = [read(path) for path in place.glob("results/digits-hkd/**/*.jsonl") if "ledger" in str(path)]
    assert ledgers and all(records[-1].kind == "stop" for records in ledgers)

    if mounted:
        study = begin(place, resume)
        faults.fill_disk(place, study)
        (place / "hold").unlink()
        code, told = ended(place, study)
        assert code == 1 and told[-1] == go_on
        assert "cannot be written (No space left on device); free space there" in told[-2]
        faults.empty_disk(place)

    faults.spoil_checkpoints(place)
    resumed = here("resume", str(place / "results" / "digits-hkd"), cwd=place)
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
