from dataclasses import replace

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
    return torch.cat([labels for _, labels, _ in images.shuffled(batch_size, seed, epoch)]).tolist()


def test_every_image_is_seen_once_an_epoch(numbered):
    assert sorted(epoch_of(numbered)) == list(range(100))


def test_images_go_with_their_labels(numbered):
    for images, labels, _ in numbered.shuffled(32, seed=0, epoch=0):
        assert (images.flatten() * 255).round().tolist() == labels.tolist()


@pytest.mark.parametrize("changes", [("crop",), ("flip",), ("rotate",), ("crop", "flip", "rotate")], ids="-".join)
def test_an_epochs_changes_drawn_at_once_are_those_of_each_batch(splits, changes):
    train = splits.train
    for images, labels, index in train.shuffled(32, 3, 5, changes, changes_seed=4):
        assert torch.equal(images, train.changed(index, changes, 4, 5))
        assert torch.equal(labels, train.labels[index])


def test_the_last_batch_holds_the_rest(numbered):
    assert [len(labels) for _, labels, _ in numbered.shuffled(32, seed=0, epoch=0)] == [32, 32, 32, 4]
    assert [len(labels) for _, labels in numbered.in_order(32)] == [32, 32, 32, 4]


def test_a_single_image_that_is_left_over_is_seen_with_the_batch_before_it(numbered):
    assert [len(labels) for _, labels, _ in numbered.shuffled(33, seed=0, epoch=0)] == [33, 33, 34]
    assert epoch_of(numbered, batch_size=33) == epoch_of(numbered, batch_size=7)


def test_a_batch_larger_than_the_set_holds_all_of_it(numbered):
    assert [len(labels) for _, labels, _ in numbered.shuffled(1000, seed=0, epoch=0)] == [100]


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


def test_one_multiply_add_normalises_as_the_formula_does_to_its_rounding(splits):
    generator = torch.Generator().manual_seed(torch.seed())
    images = torch.randint(0, 256, (50, 3, 4, 4), generator=generator, dtype=torch.uint8)
    mean, std = (torch.rand(3, 1, 1, generator=generator) * span + low for low, span in ((0.2, 0.6), (0.1, 0.3)))
    given = ImageSet(images, torch.zeros(50, dtype=torch.int64), mean, std).normalised(slice(None))
    plain = (images.float() / 255 - mean) / std
    assert given.dtype == torch.float32
    assert float((given - plain).norm() / plain.norm()) < 3e-7
    exact = (images.double() / 255 - mean.double()) / std.double()
    assert float((given - exact).norm() / exact.norm()) < 3e-7


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


def test_a_limit_takes_a_stratified_subset_before_the_split(arrays):
    limited = Splits.of(arrays, 0.25, 0, CPU, train_limit=60)
    assert (len(limited.train), len(limited.validation), len(limited.test)) == (45, 15, 30)
    assert torch.bincount(limited.train.labels).tolist() == [15, 15, 15]
    assert torch.bincount(limited.validation.labels).tolist() == [5, 5, 5]
    both = [*limited.train.images.numpy(), *limited.validation.images.numpy()]
    assert len({image.tobytes() for image in both}) == 60
    assert {image.tobytes() for image in both} < {image.tobytes() for image in arrays.train_images}


def test_a_limited_set_is_normalised_by_its_own_training_part(arrays):
    images = Splits.of(arrays, 0.25, 0, CPU, train_limit=60).train.normalised(slice(None)).double()
    assert images.mean((0, 2, 3)).tolist() == pytest.approx([0, 0, 0], abs=1e-6)


def test_a_normalisation_that_is_given_is_used_as_it_is(arrays):
    mean, std = (0.5, 0.25, 0.0), (0.5, 1.0, 0.125)
    train = Splits.of(arrays, 30, 0, CPU, normalisation=(mean, std)).train
    expected = (train.images.double() / 255 - torch.tensor(mean).view(3, 1, 1)) / torch.tensor(std).view(3, 1, 1)
    assert torch.allclose(train.normalised(slice(None)).double(), expected, atol=1e-6)
    with pytest.raises(UsageError, match="data.mean: the images have 3 channels, but 1 numbers are given"):
        Splits.of(arrays, 30, 0, CPU, normalisation=((0.5,), (0.5,)))


def test_a_limit_of_everything_is_no_limit(arrays, splits):
    whole = Splits.of(arrays, 30, 0, CPU, train_limit=120)
    assert torch.equal(whole.train.images, splits.train.images)


def test_mean_and_deviation_are_those_of_all_pixels_at_once_to_the_last_bit():
    # Not a whole number of the pieces in which they are summed.
    images = np.random.default_rng(1).integers(0, 256, (1500, 2, 8, 8), dtype=np.uint8)
    split = Splits.of(Arrays(images, np.arange(1500) % 5, images[:5], np.arange(5)), 100, 0, CPU)
    pixels = split.train.images.numpy().astype(np.float64) / 255
    assert split.train.mean.flatten().tolist() == pixels.mean((0, 2, 3)).astype(np.float32).tolist()
    assert split.train.std.flatten().tolist() == pixels.std((0, 2, 3)).astype(np.float32).tolist()


def test_memory_mapped_images_are_copied_and_may_be_written_to(arrays, tmp_path):
    np.save(tmp_path / "images.npy", arrays.test_images)
    mapped = np.load(tmp_path / "images.npy", mmap_mode="r")
    split = Splits.of(Arrays(arrays.train_images, arrays.train_labels, mapped, arrays.test_labels), 30, 0, CPU)
    split.test.images[0] = 255 - split.test.images[0]
    assert np.array_equal(np.load(tmp_path / "images.npy"), arrays.test_images)


@pytest.mark.parametrize("value", [0, 7])
def test_a_channel_that_is_constant_in_training_is_normalised_to_0(arrays, value):
    images = arrays.train_images.copy()
    images[:, 0] = value
    splits = Splits.of(replace(arrays, train_images=images), 30, 0, CPU)
    normalised = splits.train.normalised(slice(None))
    torch.testing.assert_close(normalised[:, 0], torch.zeros_like(normalised[:, 0]), atol=1e-6, rtol=0)
    assert splits.test.normalised(slice(None)).isfinite().all()
