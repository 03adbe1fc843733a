"""Two simultaneous commands that need the same teacher, with real training and a real kill."""

import json
import os
import signal
import time
from itertools import pairwise
from pathlib import Path

import pytest

from kdtune.artifacts.teacher_record import epoch_journal
from kdtune.energy.ledger import read_folder
from kdtune.energy.several_nodes import account_of_nodes
from tests.forked import Forked
from tests.studies import SMALL

pytestmark = pytest.mark.study

EPOCHS = 120

STUDY = [
    *("study", "digits-hkd", "-s", "fixed", "--repeats", "1", *SMALL, "--set", "teacher_logits=live"),
    *("--set", f"teacher_training.epochs={EPOCHS}", "--json", "--inline"),
]


class Command:
    """A study in its own folder with a shared cache."""

    def __init__(self, place: Path, name: str) -> None:
        self.folder, self._cache = place / name / "results" / "digits-hkd", place / "cache"
        (place / name).mkdir()
        self.process = Forked(None, STUDY, place / name, KDTUNE_CACHE_DIR=str(self._cache))

    def wants_the_teacher(self) -> bool:
        """Return whether the command looks for the teacher or trains it."""
        return (self.folder / "run.toml").exists()

    def trains_the_teacher(self) -> bool:
        """Return whether this command trains the teacher."""
        return any(self.folder.glob("sessions/*/made.txt"))

    def result(self) -> dict:
        out, err = self.process.communicate(timeout=200)
        assert self.process.returncode == 0, err
        return json.loads(out)["results"][0]

    def teacher(self) -> dict:
        return json.loads((self.folder / "fixed" / "shared.json").read_text())["teacher"]


def teacher_folder(place: Path) -> Path | None:
    return next((place / "cache" / "teachers").glob("digits-*"), None)


def epochs(place: Path) -> list[int]:
    folder = teacher_folder(place)
    return [metrics["epoch"] for metrics in epoch_journal(folder).read()] if folder else []


def wait_for(condition, *commands):
    deadline = time.monotonic() + 100
    while not condition():
        for one in commands:
            assert one.process.poll() is None, one.process.communicate()[1]
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.05)


@pytest.fixture
def both(tmp_path):
    """Two commands that start at the same time."""
    commands = [Command(tmp_path, name) for name in ("first", "second")]
    yield commands
    for one in commands:
        if one.process.poll() is None:
            one.process.terminate()
            one.process.communicate(timeout=60)


def test_when_the_command_that_trains_the_teacher_is_killed_the_other_continues(both, tmp_path):
    wait_for(lambda: all(one.wants_the_teacher() for one in both) and len(epochs(tmp_path)) > 2, *both)
    trainer, other = sorted(both, key=lambda one: not one.trains_the_teacher())
    assert not other.trains_the_teacher() and len(epochs(tmp_path)) < EPOCHS
    os.kill(trainer.process.pid, signal.SIGKILL)
    trainer.process.communicate()
    result = other.result()
    assert result["status"] == "completed"
    trained = epochs(tmp_path)
    # The killed command's worker ends a moment later; epochs after its last checkpoint are trained again.
    assert set(trained) == set(range(1, EPOCHS + 1)) and trained[-1] == EPOCHS
    assert sum(later != earlier + 1 for earlier, later in pairwise(trained)) <= 1
    # The energy of both commands is charged to the teacher.
    account = account_of_nodes(read_folder(teacher_folder(tmp_path) / "ledger"))
    assert other.teacher()["energy"]["charged_uj"] == account.charged_uj() > 0
    assert account.flags["gap"] == 1, account.flags
