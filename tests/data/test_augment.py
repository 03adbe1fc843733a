import math

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.transforms import RandomCrop, RandomRotation
from torchvision.transforms import functional as vision

from kdtune.data.augment import DEGREES, augment
from kdtune.data.random_fractions import random_fractions

ALL = ("crop", "flip", "rotate")


@pytest.fixture(scope="module")
def images():
    generator = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (64, 3, 32, 32), generator=generator, dtype=torch.uint8)


def numbered(count=64):
    return torch.arange(count)


def test_without_changes_images_are_as_they_were(images):
    assert torch.equal(augment(images, numbered()[5:9], (), 0, 0), images[5:9])


def test_an_image_changes_alike_alone_and_in_any_batch(images):
    whole = augment(images, numbered(), ALL, 3, 7)
    mixed = torch.tensor([9, 2, 41, 2])
    assert torch.equal(augment(images, mixed, ALL, 3, 7), whole[mixed])
    assert torch.equal(augment(images, mixed[:1], ALL, 3, 7), whole[9:10])


def plainly(images, index, changes, seed, epoch, padding=4):
    """Image by image and pixel by pixel, as it is defined."""
    height, width = images.shape[2:]
    drawn = [random_fractions(index, seed, epoch, stream).tolist() for stream in range(4)]
    out = torch.zeros(len(index), *images.shape[1:], dtype=torch.uint8)
    for place, (image, top, left, flip, angle) in enumerate(zip(images[index], *drawn, strict=True)):
        places = 2 * padding + 1
        if "crop" in changes:
            padded = torch.nn.functional.pad(image, (padding,) * 4)
            row, column = int(top * places), int(left * places)
            image = padded[:, row : row + height, column : column + width]
        if "flip" in changes and flip < 0.5:
            image = image.flip(2)
        if "rotate" in changes:
            turn = (2 * angle - 1) * math.radians(DEGREES)
            turned = torch.zeros_like(image)
            for y in range(height):
                for x in range(width):
                    from_centre = x + 0.5 - width / 2, y + 0.5 - height / 2
                    column = math.floor(math.cos(turn) * from_centre[0] - math.sin(turn) * from_centre[1] + width / 2)
                    row = math.floor(math.sin(turn) * from_centre[0] + math.cos(turn) * from_centre[1] + height / 2)
                    if 0 <= row < height and 0 <= column < width:
                        turned[:, y, x] = image[:, row, column]
            image = turned
        out[place] = image
    return out


@pytest.mark.parametrize("changes", [("crop",), ("flip",), ("crop", "flip"), ("rotate",), ALL], ids="-".join)
def test_changes_are_what_their_definition_gives_pixel_by_pixel(changes):
    seed = int(torch.randint(2**31, ()))
    images = torch.randint(1, 256, (12, 2, 9, 11), dtype=torch.uint8)
    index = torch.randint(12, (10,))
    assert torch.equal(augment(images, index, changes, seed, 3), plainly(images, index, changes, seed, 3)), seed


def test_every_epoch_and_every_seed_changes_differently(images):
    once = augment(images, numbered(), ALL, 3, 7)
    for other in (augment(images, numbered(), ALL, 3, 8), augment(images, numbered(), ALL, 4, 7)):
        assert (once != other).flatten(1).any(1).float().mean() > 0.9


@pytest.mark.parametrize("stream", range(4))
def test_the_numbers_are_uniform_and_independent(stream):
    drawn = random_fractions(torch.arange(100_000), 5, 1, stream).numpy()
    counts, _ = np.histogram(drawn, bins=100, range=(0, 1))
    chi_squared = float(((counts - 1000) ** 2 / 1000).sum())
    assert chi_squared < 160  # 99 degrees of freedom: above that once in ten thousand draws
    for other in (
        drawn[1:],
        random_fractions(torch.arange(100_000), 5, 2, stream).numpy(),
        random_fractions(torch.arange(100_000), 5, 1, stream + 4).numpy(),
    ):
        assert abs(np.corrcoef(drawn[: len(other)], other)[0, 1]) < 0.015


def test_a_flip_is_a_flip_of_every_second_image(images):
    many = images[torch.arange(4000) % 64]
    flipped = augment(many, torch.arange(4000), ("flip",), 0, 0)
    same, turned = (flipped == many).flatten(1).all(1), (flipped == many.flip(3)).flatten(1).all(1)
    assert bool((same ^ turned).all())
    assert abs(float(turned.double().mean()) - 0.5) < 0.04


def test_crops_are_torchvisions_all_equally_often(images):
    """torchvision pads with black and takes one of 81 places."""
    image = images[0]
    padded = torch.nn.functional.pad(image, (4, 4, 4, 4))
    places = {}
    for top in range(9):
        for left in range(9):
            places[padded[:, top : top + 32, left : left + 32].numpy().tobytes()] = (top, left)
    crops = augment(image.expand(8100, -1, -1, -1), torch.arange(8100), ("crop",), 0, 0)
    found = [places[crop.numpy().tobytes()] for crop in crops]
    assert len(set(found)) == 81 == (40 - 32 + 1) ** 2
    counts = np.array([found.count(place) for place in places.values()])
    assert float(((counts - 100) ** 2 / 100).sum()) < 132  # 80 degrees of freedom: once in five thousand
    assert RandomCrop(32, padding=4)(image).shape == crops[0].shape


def test_a_rotation_is_torchvisions_to_the_nearest_pixel(images):
    count = 40
    rotated = augment(images, numbered(count), ("rotate",), 0, 0)
    angles = ((2 * random_fractions(numbered(count), 0, 0, 3) - 1) * DEGREES).tolist()
    assert -DEGREES <= min(angles) < -DEGREES / 2 < DEGREES / 2 < max(angles) <= DEGREES
    assert RandomRotation(15).degrees == [-DEGREES, DEGREES]
    for place, angle in enumerate(angles):
        by_pil = np.asarray(vision.rotate(Image.fromarray(images[place].permute(1, 2, 0).numpy()), angle))
        same = (rotated[place].permute(1, 2, 0).numpy() == by_pil).mean()
        assert same > 0.995, f"{angle} degrees"  # PIL rounds its matrix, so a pixel on an edge may differ


def test_corners_turn_black_and_the_middle_stays():
    white = torch.full((200, 1, 28, 28), 255, dtype=torch.uint8)
    turned = augment(white, torch.arange(200), ("rotate",), 1, 1)
    assert turned[:, :, 10:18, 10:18].min() == 255
    assert float((turned[:, :, 0, 0] == 0).double().mean()) > 0.7
    assert math.isclose(float((turned == 255).double().mean()), 0.94, abs_tol=0.03)


def test_all_changes_at_once_are_crop_then_flip_then_rotation(images):
    both = augment(images, numbered(), ALL, 2, 3)
    cropped = augment(images, numbered(), ("crop",), 2, 3)
    flipped = augment(cropped, numbered(), ("flip",), 2, 3)
    assert torch.equal(augment(flipped, numbered(), ("rotate",), 2, 3), both)
