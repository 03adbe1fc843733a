"""Two simultaneous commands that need the same teacher, with real training and a real kill."""

import json
import os
import signal
from itertools import pairwise
from pathlib import Path

import pytest

from kdtune.artifacts.teacher_record import epoch_journal
from kdtune.energy.ledger import read_folder
from kdtune.energy.several_nodes import account_of_nodes
from tests.forked import Forked
from tests.studies import SMALL
from tests.waiting import wait_for

pytestmark = pytest.mark.study

EPOCHS = 30

STUDY = [
    *("study", "digits-hkd", "-s", "fixed", "--repeats", "1", *SMALL, "--set", "teacher_logits=live"),
    *("--set", f"teacher_training.epochs={EPOCHS}", "--json", "--inline"),
]

#: Runs the command; the training of a teacher stops after its third epoch while a file exists, which comes first among
#: the arguments.
HELD = """
import sys, time
from pathlib import Path
from kdtune.__main__ import main
from kdtune.artifacts import training_context

hold, train = Path(sys.argv.pop(1)), training_context.train_teacher

def held(*given, **named):
    def on_epoch(metrics):
        given[5](metrics)
        while metrics.epoch == 3 and hold.exists():
            time.sleep(0.01)
    train(*given[:5], on_epoch, *given[6:], **named)

training_context.train_teacher = held
sys.argv[0] = "kdtune"
main()
"""


class Command:
    """A study in its own folder with a shared cache."""

    def __init__(self, place: Path, name: str) -> None:
        self.folder, self._cache = place / name / "results" / "digits-hkd", place / "cache"
        (place / name).mkdir()
        held = [str(place / "hold"), *STUDY]
        self.process = Forked(HELD, held, place / name, KDTUNE_CACHE_DIR=str(self._cache))

    def wants_the_teacher(self) -> bool:
        """Return whether the command looks for the teacher or trains it."""
        return (self.folder / "run.toml").exists()

    def trains_the_teacher(self) -> bool:
        """Return whether this command trains the teacher."""
        return any(self.folder.glob("sessions/*/made.txt"))

    def result(self) -> dict:
        out, err = self.process.communicate()
        assert self.process.returncode == 0, err
        return json.loads(out)["results"][0]

    def teacher(self) -> dict:
        return json.loads((self.folder / "fixed" / "shared.json").read_text())["teacher"]


def teacher_folder(place: Path) -> Path | None:
    return next((place / "cache" / "teachers").glob("digits-*"), None)


def epochs(place: Path) -> list[int]:
    folder = teacher_folder(place)
    return [metrics["epoch"] for metrics in epoch_journal(folder).read()] if folder else []


@pytest.fixture
def both(tmp_path):
    """Two commands that start at the same time."""
    (tmp_path / "hold").touch()
    commands = [Command(tmp_path, name) for name in ("first", "second")]
    yield commands
    for one in commands:
        if one.process.poll() is None:
            one.process.terminate()
            one.process.communicate()


def test_when_the_command_that_trains_the_teacher_is_killed_the_other_continues(both, tmp_path):

    def is_time():
        for one in both:
            assert one.process.poll() is None, one.process.communicate()[1]
        return all(one.wants_the_teacher() for one in both) and len(epochs(tmp_path)) == 3

    wait_for(is_time)
    trainer, other = sorted(both, key=lambda one: not one.trains_the_teacher())
    assert not other.trains_the_teacher()
    os.kill(trainer.process.pid, signal.SIGKILL)
    trainer.process.communicate()
    (tmp_path / "hold").unlink()
    result = other.result()
    assert result["status"] == "completed"
    trained = epochs(tmp_path)
    # Epochs after the last checkpoint are trained again.
    assert set(trained) == set(range(1, EPOCHS + 1)) and trained[-1] == EPOCHS
    assert sum(later != earlier + 1 for earlier, later in pairwise(trained)) <= 1
    # The energy of both commands is charged to the teacher.
    account = account_of_nodes(read_folder(teacher_folder(tmp_path) / "ledger"))
    assert other.teacher()["energy"]["charged_uj"] == account.charged_uj() > 0
    assert account.flags["gap"] == 1, account.flags
