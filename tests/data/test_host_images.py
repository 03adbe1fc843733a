import numpy as np
import pytest
import torch

from kdtune.artifacts.training_context import TrainingContext
from kdtune.data.arrays import Arrays
from kdtune.data.batches import Splits
from kdtune.data.host_images import HostImages
from kdtune.specs import load_study
from kdtune.specs.suggestion import Suggestion
from kdtune.training.resolution import resolved_recipe

CPU = torch.device("cpu")


@pytest.fixture
def both(tmp_path):
    """The same data on the device, and memory-mapped on the host."""
    images = np.random.default_rng(0).integers(0, 256, (200, 3, 8, 8), dtype=np.uint8)
    np.save(tmp_path / "images.npy", images)
    mapped = np.load(tmp_path / "images.npy", mmap_mode="r")
    labels = np.arange(200) % 4
    arrays = Arrays(mapped, labels, mapped[:40], labels[:40])
    return tuple(Splits.of(arrays, 50, 0, CPU, 160, resident=resident) for resident in (True, False))


@pytest.mark.parametrize("changes", [(), ("crop", "flip"), ("resized-crop", "jitter")], ids="-".join)
def test_every_batch_is_the_same_to_the_last_bit(both, changes):
    resident, hosted = both
    assert isinstance(hosted.train.images, HostImages)
    for part in ("train", "validation", "test"):
        ours, theirs = getattr(hosted, part), getattr(resident, part)
        for one, other in zip(ours.in_order(16), theirs.in_order(16), strict=True):
            assert all(map(torch.equal, one, other))
        for one, other in zip(ours.shuffled(16, 1, 2, changes), theirs.shuffled(16, 1, 2, changes), strict=True):
            assert all(map(torch.equal, one, other))
        some = torch.tensor([3, 1, 3])
        assert torch.equal(ours.changed(some, changes, 1, 2), theirs.changed(some, changes, 1, 2))
        assert torch.equal(ours.normalised(slice(2, 5)), theirs.normalised(slice(2, 5)))


def test_only_a_few_batches_are_read_ahead_and_an_epoch_may_be_left(both):
    images = both[1].train.images
    read = []
    take, images._read = images._read, lambda rows: read.append(len(rows)) or take(rows)
    batches = images.fetched(torch.arange(100).split(10))
    next(batches)
    batches.close()
    assert len(read) <= 4


def test_a_fault_of_the_disk_reaches_the_training(both):
    images = both[1].train.images

    def fail(rows):
        raise OSError("gone")

    images._read = fail
    with pytest.raises(OSError, match="gone"):
        next(images.fetched([torch.arange(3)]))


def test_a_training_from_the_host_is_the_same_to_the_last_bit(tmp_path, monkeypatch):
    """A student of a small study with its teacher, both trained here."""
    monkeypatch.setenv("KDTUNE_CACHE_DIR", str(tmp_path))
    losses, weights = [], []
    for resident in ("true", "false"):
        overrides = (f"data.resident={resident}", "data.train_limit=600", "training.augment=['resized-crop', 'jitter']")
        epochs = ("teacher_training.epochs=1", "teacher_training.milestones=[]", "teacher_training.warmup_epochs=0")
        study = load_study("digits-hkd", overrides=[*overrides, *epochs], epochs=1)
        context = TrainingContext(study, CPU, 1)
        distiller = context.distiller(resolved_recipe(study, Suggestion.from_point({"tau": 4.0})), 0)
        losses.append(distiller.train_epoch().val_loss)
        weights.append(distiller.model.state_dict())
    assert losses[0] == losses[1]
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])
