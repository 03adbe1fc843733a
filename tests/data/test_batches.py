import numpy as np
import pytest
import torch

from kdtune.data.arrays import Arrays
from kdtune.data.batches import ImageSet, Splits
from kdtune.errors import UsageError

CPU = torch.device("cpu")


@pytest.fixture
def numbered():
    """A hundred images whose single pixel is their number, so that a batch tells which it holds."""
    number = torch.arange(100)
    return ImageSet(
        images=number.to(torch.uint8).reshape(100, 1, 1, 1),
        labels=number,
        mean=torch.zeros(1, 1, 1),
        std=torch.ones(1, 1, 1),
    )


@pytest.fixture(scope="module")
def arrays():
    """120 images in three colours, each with a range of its own, and 30 test images twice as bright."""
    random = np.random.default_rng(0)
    train = np.stack([random.integers(0, top, (120, 4, 4)) for top in (60, 100, 128)], axis=1).astype(np.uint8)
    return Arrays(train, np.arange(120) % 3, train[:30] * 2, np.arange(30) % 3)


@pytest.fixture(scope="module")
def splits(arrays):
    return Splits.of(arrays, 30, 0, CPU)


def epoch_of(images, batch_size=32, seed=0, epoch=0):
    return torch.cat([labels for _, labels in images.shuffled(batch_size, seed, epoch)]).tolist()


def test_every_image_is_seen_once_an_epoch(numbered):
    assert sorted(epoch_of(numbered)) == list(range(100))


def test_images_go_with_their_labels(numbered):
    for images, labels in numbered.shuffled(32, seed=0, epoch=0):
        assert (images.flatten() * 255).round().tolist() == labels.tolist()


def test_the_last_batch_holds_the_rest(numbered):
    assert [len(labels) for _, labels in numbered.shuffled(32, seed=0, epoch=0)] == [32, 32, 32, 4]
    assert [len(labels) for _, labels in numbered.in_order(32)] == [32, 32, 32, 4]


def test_a_batch_larger_than_the_set_holds_all_of_it(numbered):
    assert [len(labels) for _, labels in numbered.shuffled(1000, seed=0, epoch=0)] == [100]


def test_the_order_depends_on_seed_and_epoch_alone(numbered):
    torch.manual_seed(1)
    first = epoch_of(numbered, seed=3, epoch=5)
    torch.manual_seed(2)
    assert epoch_of(numbered, seed=3, epoch=5) == first


def test_the_size_of_a_batch_does_not_change_the_order(numbered):
    assert epoch_of(numbered, batch_size=7) == epoch_of(numbered, batch_size=50)


def test_each_epoch_and_each_seed_has_an_order_of_its_own(numbered):
    orders = {tuple(epoch_of(numbered, seed=seed, epoch=epoch)) for seed in range(3) for epoch in range(3)}
    assert len(orders) == 9


def test_shuffling_leaves_torchs_own_generator_alone(numbered):
    before = torch.get_rng_state()
    epoch_of(numbered)
    assert torch.equal(torch.get_rng_state(), before)


def test_in_order_is_in_order(numbered):
    assert torch.cat([labels for _, labels in numbered.in_order(32)]).tolist() == list(range(100))


def test_the_training_part_has_mean_0_and_deviation_1_in_every_channel(splits):
    images = splits.train.normalised(slice(None)).double()
    assert images.mean((0, 2, 3)).tolist() == pytest.approx([0, 0, 0], abs=1e-6)
    assert images.std((0, 2, 3), correction=0).tolist() == pytest.approx([1, 1, 1], abs=1e-6)


@pytest.mark.parametrize("part", ["validation", "test"])
def test_the_other_parts_are_normalised_as_the_training_part(splits, part):
    train = splits.train.images.double() / 255
    mean = train.mean((0, 2, 3)).reshape(3, 1, 1)
    std = train.std((0, 2, 3), correction=0).reshape(3, 1, 1)
    images = getattr(splits, part)
    expected = (images.images.double() / 255 - mean) / std
    assert torch.allclose(images.normalised(slice(None)).double(), expected, atol=1e-5)


def test_the_validation_part_is_taken_from_the_training_images(arrays, splits):
    both = torch.cat([splits.train.images, splits.validation.images]).numpy()
    assert len(splits.validation) == 30
    assert sorted(image.tobytes() for image in both) == sorted(image.tobytes() for image in arrays.train_images)


def test_the_test_part_is_whole_and_in_order(arrays, splits):
    assert torch.equal(splits.test.images, torch.from_numpy(arrays.test_images))
    assert torch.equal(splits.test.labels, torch.from_numpy(arrays.test_labels))


def test_images_stay_bytes_on_the_device(splits):
    assert splits.train.images.dtype == torch.uint8
    assert splits.train.labels.dtype == torch.int64


def test_images_keep_their_labels_through_the_split(arrays, splits):
    label_of = {image.tobytes(): label for image, label in zip(arrays.train_images, arrays.train_labels, strict=True)}
    for part in (splits.train, splits.validation):
        for image, label in zip(part.images.numpy(), part.labels, strict=True):
            assert label_of[image.tobytes()] == label


def test_the_split_seed_decides_which_images_are_held_out(arrays, splits):
    assert torch.equal(Splits.of(arrays, 30, 0, CPU).validation.images, splits.validation.images)
    assert not torch.equal(Splits.of(arrays, 30, 1, CPU).validation.images, splits.validation.images)


def test_a_split_that_leaves_a_part_empty_is_refused(arrays):
    with pytest.raises(UsageError):
        Splits.of(arrays, 120, 0, CPU)
