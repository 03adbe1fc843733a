import hashlib
import io
import resource
import signal
import threading
from contextlib import contextmanager, nullcontext
from random import Random

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kdtune.errors import MachineError
from kdtune.training.checkpoints import LONGEST_S, CheckpointFolder, CheckpointWriter
from tests.damage import damaged
from tests.forked import Forked
from tests.waiting import wait_for


def state(epoch):
    """What a training hands over, with weights that tell their epoch."""
    model = {"weight": torch.full((2048,), float(epoch))}
    return {"epoch": epoch, "metrics": None, "model": model, "optimizer": {}, "policy": {}}


@pytest.fixture
def folder(tmp_path):
    return CheckpointFolder(tmp_path / "trial")


@pytest.fixture
def two(folder):
    """A folder with the checkpoints of epochs 1 and 2."""
    folder.save(state(1))
    folder.save(state(2))
    return folder


def test_what_was_saved_is_loaded(folder):
    folder.save(state(3))
    loaded = folder.load_latest()
    assert loaded["epoch"] == 3
    assert torch.equal(loaded["model"]["weight"], state(3)["model"]["weight"])


def test_a_checkpoint_keeps_its_values_when_training_goes_on(folder):
    taken = state(1)
    folder.save(taken)
    taken["model"]["weight"].zero_()
    assert folder.load_latest()["model"]["weight"].unique().tolist() == [1]


def test_there_is_nothing_to_load_before_the_first_checkpoint(folder):
    assert folder.load_latest() is None
    assert folder.paths() == []


def test_the_last_two_are_kept(folder):
    for epoch in range(1, 6):
        folder.save(state(epoch))
    assert len(list(folder.folder.iterdir())) == 2
    assert folder.load_latest()["epoch"] == 5
    folder.paths()[-1].unlink()
    assert folder.load_latest()["epoch"] == 4


def test_the_newest_is_the_one_of_the_most_epochs(folder):
    for epoch in (9, 10, 99, 100, 1000):
        folder.save(state(epoch))
        assert folder.load_latest()["epoch"] == epoch


def test_an_epoch_saved_again_is_replaced(two):
    two.save(state(2))
    assert len(two.paths()) == 2
    assert two.load_latest()["epoch"] == 2


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.9, 0.999])
def test_the_one_before_is_loaded_when_the_newest_is_cut_short(two, share):
    newest = two.paths()[-1]
    content = newest.read_bytes()
    newest.write_bytes(content[: int(share * len(content))])
    assert two.load_latest()["epoch"] == 1


# torch.load fails on these in many ways: with UnpicklingError, EOFError, IndexError, struct.error ...
GARBAGE = [
    b"garbage",
    b"error",
    b"X",
    b"h",
    b"\x80\x02",
    bytes(4096),
    b"PK\x03\x04" + bytes(100),
    "träge".encode(),
    b"\xff" * 64,
]


@pytest.mark.parametrize("garbage", GARBAGE, ids=lambda garbage: repr(garbage[:8]))
def test_the_one_before_is_loaded_when_the_newest_is_garbage(two, garbage):
    two.paths()[-1].write_bytes(garbage)
    assert two.load_latest()["epoch"] == 1


@pytest.mark.parametrize("foreign", [{"epoch": 2}, [1, 2], torch.zeros(2)], ids=["part", "list", "tensor"])
def test_the_one_before_is_loaded_when_the_newest_is_none_of_ours(two, foreign):
    torch.save(foreign, two.paths()[-1])
    assert two.load_latest()["epoch"] == 1


def test_the_one_before_is_loaded_when_weights_of_the_newest_are_damaged(two):
    # As after a power cut on a disk that lies about what it has written: a page of zeros amid the weights.
    newest = two.paths()[-1]
    content = bytearray(newest.read_bytes())
    at = content.index(torch.full((100,), 2.0).numpy().tobytes())
    content[at + 64 : at + 4160] = bytes(4096)
    newest.write_bytes(content)
    assert two.load_latest()["epoch"] == 1


def test_the_one_before_is_loaded_when_the_newest_cannot_be_read(two):
    # A folder in its place stands for whatever makes the system refuse to read it, such as a bad sector.
    newest = two.paths()[-1]
    newest.unlink()
    newest.mkdir()
    assert two.load_latest()["epoch"] == 1


def test_nothing_is_loaded_when_all_are_damaged(two):
    for path in two.paths():
        path.write_bytes(b"garbage")
    assert two.load_latest() is None


def test_a_writing_that_was_cut_off_is_not_taken_for_a_checkpoint(two):
    (two.folder / ".epoch-000003.pt.1.tmp").write_bytes(b"half")
    assert two.load_latest()["epoch"] == 2


def test_a_state_that_cannot_be_saved_leaves_the_checkpoints_there_are(two):
    before = two.paths()
    with pytest.raises((TypeError, AttributeError)):
        two.save({"epoch": 3, "model": (number for number in range(3))})
    assert sorted(two.folder.iterdir()) == before
    assert two.load_latest()["epoch"] == 2


@pytest.mark.parametrize("foreign", [{"model": 1}, [1, 2], {"epoch": "2"}, torch.zeros(2)])
def test_the_one_before_is_loaded_when_the_newest_has_only_a_hash_that_fits(two, foreign):
    content = io.BytesIO()
    torch.save(foreign, content)
    seal = b"kdtune1\n" + hashlib.sha256(content.getvalue()).digest()
    two.paths()[-1].write_bytes(seal + content.getvalue())
    assert two.load_latest()["epoch"] == 1


@given(st.data())
@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_becomes_of_the_newest_it_or_the_one_before_is_loaded_as_it_was_saved(two, data):
    newest = two.paths()[-1]
    raw = newest.read_bytes()
    try:
        newest.write_bytes(data.draw(damaged(raw)))
        found = two.load_latest()
    finally:
        newest.write_bytes(raw)
    assert found["model"]["weight"].unique().tolist() == [found["epoch"]]


@contextmanager
def little_room():
    """A disk on which no file may grow beyond 1000 bytes; pytest's own output may be a file, so only briefly."""
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limit[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limit)
        signal.signal(signal.SIGXFSZ, ignored)


def test_a_checkpoint_that_cannot_be_written_is_not_the_trials_fault(two):
    before = {path: path.read_bytes() for path in two.paths()}
    full = r"epoch-000003.pt: cannot be written \(File too large\); free space there"
    with little_room(), pytest.raises(MachineError, match=full):
        two.save(state(3))
    assert {path: path.read_bytes() for path in two.folder.iterdir()} == before


def test_nothing_but_data_is_ever_loaded(two, tmp_path):
    class Trap:
        def __reduce__(self):
            return (open, (str(tmp_path / "sprung"), "w"))

    two.save({**state(3), "policy": Trap()})  # with a hash that fits
    assert two.load_latest()["epoch"] == 2
    assert not (tmp_path / "sprung").exists()


# Checkpoints by elapsed time


class Training:
    """A training whose only weight is the number of its epoch, changed in place as an optimiser does it."""

    def __init__(self, epochs):
        self.epochs, self.epoch, self.weight = epochs, 0, torch.zeros(2048)

    @property
    def done(self):
        return self.epoch >= self.epochs

    def train_epoch(self):
        self.epoch += 1
        self.weight.fill_(self.epoch)

    def state_dict(self):
        return {**state(self.epoch), "model": {"weight": self.weight}}


class Clock:
    """Seconds that pass only when a test says so; ``wrote`` has the epochs that ``folder`` was given."""

    def __init__(self, folder, monkeypatch, takes_s=0.0):
        self.now_s, self.wrote, save = 0.0, [], folder.save

        def timed(given):
            self.wrote.append(given["epoch"])
            self.now_s += takes_s
            save(given)

        monkeypatch.setattr(folder, "save", timed)

    def __call__(self):
        return self.now_s


def all_epochs(writer, training, clock, epoch_s):
    while not training.done:
        training.train_epoch()
        clock.now_s += epoch_s
        writer.epoch_done(training)
        writer._wait()  # only so that the clock does not depend on the thread


@pytest.mark.parametrize(
    ("epochs", "epoch_s", "takes_s", "expected"),
    [
        (9, 1.0, 0.2, [1, 5, 9]),  # the longest time without a checkpoint
        (3, LONGEST_S, 0.2, [1, 2, 3]),  # a long epoch is always followed by one
        (5, 0.01, 0.01, [1, 5]),  # short epochs, and writing is not to take more than its share of the time
        (5, 1.0, 0.04, [1, 3, 5]),
        (1, 0.0, 0.0, [1]),
    ],
)
def test_a_checkpoint_is_written_by_elapsed_time_and_after_the_last_epoch(
    folder, monkeypatch, epochs, epoch_s, takes_s, expected
):
    clock = Clock(folder, monkeypatch, takes_s)
    with CheckpointWriter(folder, clock) as writer:
        all_epochs(writer, Training(epochs), clock, epoch_s)
    assert clock.wrote == expected
    assert folder.load_latest()["epoch"] == epochs


def test_what_is_written_in_the_background_is_the_state_at_the_end_of_its_epoch(folder, monkeypatch):
    released, save = threading.Event(), folder.save

    def held_up(given):
        assert released.wait(60)
        save(given)

    monkeypatch.setattr(folder, "save", held_up)
    training = Training(3)
    with CheckpointWriter(folder, lambda: 0.0) as writer:
        training.train_epoch()
        writer.epoch_done(training)  # returns while nothing has been written yet
        training.train_epoch()
        released.set()
    assert folder.load_latest()["model"]["weight"].unique().tolist() == [1]


def test_the_last_epochs_checkpoint_is_on_the_disk_before_the_training_says_that_it_is_done(folder):
    training = Training(1)
    training.train_epoch()
    with CheckpointWriter(folder) as writer:
        writer.epoch_done(training)
        assert folder.load_latest()["epoch"] == 1


def test_a_copied_state_is_loaded_like_the_original(folder):
    model = torch.nn.Sequential(torch.nn.Conv2d(1, 4, 3), torch.nn.BatchNorm2d(4)).to(memory_format=torch.channels_last)
    given = {"epoch": 1, "model": model.state_dict(), "optimizer": {"state": {}, "param_groups": [{"params": [0, 1]}]}}
    training = Training(1)
    training.epoch, training.state_dict = 1, lambda: given
    with CheckpointWriter(folder) as writer:
        writer.epoch_done(training)
    ours = folder.load_latest()
    folder.save(given)
    theirs = folder.load_latest()
    assert ours["optimizer"] == theirs["optimizer"]
    assert ours["model"]._metadata == theirs["model"]._metadata
    for name, value in theirs["model"].items():
        assert torch.equal(ours["model"][name], value) and ours["model"][name].stride() == value.stride()


FULL = r"cannot be written \(File too large\); free space there"


@pytest.mark.parametrize("epochs", [1, 5], ids=["at the last epoch itself", "at the next epoch"])
def test_a_failed_write_is_raised(folder, epochs):
    training = Training(epochs)
    with little_room(), CheckpointWriter(folder, lambda: 0.0) as writer, pytest.raises(MachineError, match=FULL):
        for _ in range(2):
            training.train_epoch()
            writer.epoch_done(training)
    assert training.epoch <= 2


def test_the_last_two_that_were_written_stay_when_a_later_write_fails(two):
    before = two.paths()
    training = Training(3)
    training.epoch = 3
    with little_room(), CheckpointWriter(two) as writer, pytest.raises(MachineError, match=FULL):
        writer.epoch_done(training)
    assert two.paths() == before
    assert two.load_latest()["epoch"] == 2


@pytest.mark.parametrize("ends", [nullcontext(), pytest.raises(ZeroDivisionError)], ids=["ends", "fails"])
def test_no_thread_is_left_when_a_training_ends_or_fails(folder, ends):
    before = threading.active_count()
    with ends as failure, CheckpointWriter(folder, lambda: 0.0) as writer:
        training = Training(2)
        training.train_epoch()
        writer.epoch_done(training)
        assert threading.active_count() == before + 1
        if failure is not None:
            raise ZeroDivisionError
        training.train_epoch()
        writer.epoch_done(training)
    assert threading.active_count() == before
    writer.close()  # a second time


#: Trains until it is killed, telling each epoch as soon as it is done.
KILLED = """
import sys
from pathlib import Path
from kdtune.training.checkpoints import CheckpointFolder, CheckpointWriter
from tests.training.test_checkpoints import Training

folder, training = CheckpointFolder(Path(sys.argv[1])), Training(1_000_000)
with CheckpointWriter(folder, lambda: 0.0) as writer:
    while True:
        training.train_epoch()
        writer.epoch_done(training)
        print(training.epoch, flush=True)
"""


def test_whenever_a_training_is_killed_it_goes_on_from_one_of_its_last_epochs(tmp_path):
    random = Random(0)
    said = tmp_path / "said"
    said.touch()
    process = Forked(KILLED, [str(tmp_path)], said=said)
    until = random.randint(20, 60)
    wait_for(lambda: said.read_text().count("\n") >= until)
    process.send_signal(signal.SIGKILL)
    process.wait()
    told = int(said.read_text().split()[-1])
    found = CheckpointFolder(tmp_path).load_latest()
    # With a clock that stands still a checkpoint is due after every epoch, and waits for the one before.
    assert found["epoch"] in (told - 1, told, told + 1)
    assert found["model"]["weight"].unique().tolist() == [found["epoch"]]
