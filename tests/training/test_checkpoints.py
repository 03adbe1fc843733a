import hashlib
import io
import resource
import signal

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kdtune.errors import MachineError
from kdtune.training.checkpoints import CheckpointFolder
from tests.damage import damaged


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
    # As after a power cut, for a checkpoint is not forced to the disk: a page of zeros amid the weights.
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


def test_a_checkpoint_that_cannot_be_written_is_not_the_trials_fault(two):
    before = {path: path.read_bytes() for path in two.paths()}
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limit[1]))  # as a disk on which there is so much room left
    try:
        with pytest.raises(MachineError, match=r"epoch-000003.pt: cannot be written \(File too large\); make room"):
            two.save(state(3))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limit)
        signal.signal(signal.SIGXFSZ, ignored)
    assert {path: path.read_bytes() for path in two.folder.iterdir()} == before


def test_nothing_but_data_is_ever_loaded(two, tmp_path):
    class Trap:
        def __reduce__(self):
            return (open, (str(tmp_path / "sprung"), "w"))

    two.save({**state(3), "policy": Trap()})  # with a hash that fits
    assert two.load_latest()["epoch"] == 2
    assert not (tmp_path / "sprung").exists()
