"""What augmentation does to images with objects: boxes follow the pixels, and everything depends on the seed alone."""

import numpy as np
import pytest
import torch

from kdtune.tasks.detection.images import BoxedImages, moved, rarest_classes
from kdtune.tasks.detection.matching import BOX, CLASS
from kdtune.tasks.detection.windows import WindowChanges

HEIGHT, WIDTH = 40, 60
NONE = [-1.0, 0, 0, 0, 0, 0]


@pytest.fixture(scope="module")
def images():
    """64 dark images with one white rectangle each, in the middle half so that no change cuts it in the tests."""
    draw = np.random.default_rng(0)
    pixels, objects = np.full((64, 3, HEIGHT, WIDTH), 40, np.uint8), np.full((64, 2, 6), NONE, np.float32)
    for image, rows in zip(pixels, objects, strict=True):
        top, left = draw.integers(10, 18), draw.integers(15, 25)
        bottom, right = top + draw.integers(6, 14), left + draw.integers(6, 20)
        image[:, top:bottom, left:right] = 255
        rows[0] = (draw.integers(3), 0, left, top, right, bottom)
    mean, std = torch.full((3, 1, 1), 0.2), torch.ones(3, 1, 1)
    return BoxedImages(
        *(torch.from_numpy(pixels), torch.from_numpy(objects), mean, std), anchors=torch.tensor([[0.0, 0, 30, 30]])
    )


EVERY = torch.arange(64)


def seen_box(image):
    """The smallest box around bright pixels."""
    rows, columns = (image[0] > 150).nonzero(as_tuple=True)
    return [columns.min().item(), rows.min().item(), columns.max().item() + 1, rows.max().item() + 1]


@pytest.mark.parametrize(
    "kinds",
    [("flip",), ("crop",), ("crop", "flip"), ("zoom-out",), ("zoom-out", "flip"), ("resized-crop", "crop", "flip")],
    ids="-".join,
)
def test_boxes_follow_the_pixels(images, kinds):
    changes = images.epoch_changes(kinds, seed=3, epoch=2)
    pixels, objects = changes.applied_to(images.images), images.objects(EVERY, changes)
    moved_boxes = 0
    for image, rows, before in zip(pixels, objects, images.labels, strict=True):
        if rows[0, CLASS] < 0:  # its centre was cut away
            continue
        scale = max(1.0, float((rows[0, BOX][2:] - rows[0, BOX][:2]).max()) / 20)
        assert seen_box(image) == pytest.approx(rows[0, BOX].tolist(), abs=1.0 + scale)
        moved_boxes += not torch.equal(rows, before)
    assert moved_boxes > 20 and (objects[:, 1, CLASS] == -1).all()


def test_flipping_twice_is_the_identity(images):
    flipped = WindowChanges(offsets=torch.tensor([[0, WIDTH - 1, -1]]).expand(64, -1))
    once = moved(images.labels, flipped, HEIGHT, WIDTH)
    assert torch.equal(moved(once, flipped, HEIGHT, WIDTH)[:, 0], images.labels[:, 0])
    assert torch.equal(flipped.applied_to(flipped.applied_to(images.images)), images.images)
    assert once[:, 0, 2].tolist() == (WIDTH - images.labels[:, 0, 4]).tolist()


def test_smaller_images_lie_on_the_mean_colour(images):
    changes = images.epoch_changes(("zoom-out",), seed=0, epoch=0)
    smaller = changes.window[:, 2] > HEIGHT
    assert 20 < smaller.sum() < 44 and changes.window[smaller, 2].max() <= 4 * HEIGHT
    pixels = changes.applied_to(images.images)
    assert torch.equal(pixels[~smaller], images.images[~smaller])
    assert ((pixels[smaller] == 51).flatten(1).float().mean(1) > 0).all()  # 255 times the mean of 0.2


def test_crops_keep_an_object_that_they_overlap_enough(images):
    changes = images.epoch_changes(("iou-crop",), seed=1, epoch=5)
    objects, cropped = images.objects(EVERY, changes), (changes.window[:, 2:] < torch.tensor([HEIGHT, WIDTH])).any(1)
    assert (objects[:, 0, CLASS] >= 0).all() and cropped.sum() > 20
    top, left, rows, columns = changes.window.unbind(1)
    assert (top >= 0).all() and (top + rows <= HEIGHT).all() and (left >= 0).all() and (left + columns <= WIDTH).all()
    assert torch.maximum(rows / columns, columns / rows)[cropped].max() <= 2
    centres = (objects[:, 0, 2:4] + objects[:, 0, 4:6]) / 2
    assert ((centres >= 0) & (centres <= torch.tensor([WIDTH, HEIGHT]))).all()


ALL = ("zoom-out", "iou-crop", "flip", "jitter", "hue")


def test_an_image_and_its_objects_change_alike_alone_and_in_any_batch_and_otherwise_in_other_epochs(images):
    whole, objects = images.changed(EVERY, ALL, 3, 7), images.objects(EVERY, images.epoch_changes(ALL, 3, 7))
    mixed = torch.tensor([9, 2, 31, 2])
    assert torch.equal(images.changed(mixed, ALL, 3, 7), whole[mixed])
    some, targets = images.batch(mixed, images.epoch_changes(ALL, 3, 7))
    assert torch.equal(some, whole[mixed])
    assert torch.equal(images.objects(mixed, images.epoch_changes(ALL, 3, 7)), objects[mixed])
    assert torch.equal(targets.labels, images.targets(EVERY, images.epoch_changes(ALL, 3, 7)).labels[mixed])
    for seed, epoch in ((3, 8), (4, 7)):
        assert (images.changed(EVERY, ALL, seed, epoch) != whole).flatten(1).any(1).float().mean() > 0.9


def test_without_changes_images_and_objects_are_as_they_are(images):
    index = torch.tensor([5, 1])
    assert images.epoch_changes((), 0, 0) is None
    assert torch.equal(images.objects(index, None), images.labels[index])
    assert torch.equal(images.batch(index, None)[0], images.normalised(index))


def test_the_rarest_class_of_each_image():
    rows = np.full((5, 3, 6), NONE, np.float32)
    for image, labels in enumerate([(0,), (0, 1), (0, 1, 2), (), (1,)]):
        rows[image, : len(labels), 0] = labels
    assert rarest_classes(rows).tolist() == [0, 0, 2, -1, 1]
    assert rarest_classes(np.full((2, 1, 6), -1.0)).tolist() == [-1, -1]
