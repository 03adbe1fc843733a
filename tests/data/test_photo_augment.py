import math

import pytest
import torch
from torchvision.transforms import functional as vision

from kdtune.data.augment import Changes, augment
from kdtune.data.photo_augment import (
    GREATEST_RATIO,
    HUE_DEGREES,
    JITTER,
    LEAST_AREA,
    drawn_boxes,
    drawn_colours,
    drawn_hues,
    jittered,
    recoloured,
    resized_crops,
)

PHOTO = ("resized-crop", "flip", "jitter", "hue")


@pytest.fixture(scope="module")
def images():
    generator = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (32, 3, 12, 16), generator=generator, dtype=torch.uint8)


def test_a_part_is_enlarged_between_its_own_pixels():
    image = torch.tensor([[9, 9, 9, 9], [9, 0, 100, 9], [9, 200, 40, 9], [9, 9, 9, 9]], dtype=torch.uint8)
    (enlarged,) = resized_crops(image.view(1, 1, 4, 4), torch.tensor([[1, 1, 2, 2]]))[0]
    # Centres of the four columns lie at -1/4, 1/4, 3/4 and 5/4 of the part's two pixels.
    assert enlarged[0].tolist() == [0, 25, 75, 100]
    assert enlarged[3].tolist() == [200, 160, 80, 40]
    assert enlarged[1].tolist() == [50, 59, 76, 85]  # 3/4 of the row above and 1/4 of the one below


def test_the_whole_image_is_itself(images):
    whole = torch.tensor([[0, 0, 12, 16]]).expand(len(images), -1)
    assert torch.equal(resized_crops(images, whole), images)


def test_parts_are_enlarged_as_torchvision_does(images):
    boxes = drawn_boxes(torch.arange(32), 12, 16, 1, 0)
    ours = resized_crops(images, boxes)
    for image, box, enlarged in zip(images, boxes.tolist(), ours, strict=True):
        theirs = vision.resized_crop(image.float(), *box, size=[12, 16], antialias=False)
        assert float((enlarged.float() - theirs).abs().max()) < 0.6  # half a step of rounding, and fixed weights


def test_parts_have_their_distribution():
    top, left, rows, columns = drawn_boxes(torch.arange(20_000), 200, 200, 5, 3).double().unbind(1)
    area, ratio = rows * columns / 200**2, columns / rows
    assert LEAST_AREA - 0.01 < area.min() < LEAST_AREA + 0.01
    assert area.max() <= 1
    assert 1 / GREATEST_RATIO - 0.02 < ratio.min() < 1 / GREATEST_RATIO + 0.02
    assert GREATEST_RATIO - 0.02 < ratio.max() < GREATEST_RATIO + 0.02
    assert math.isclose(float(ratio.log().mean()), 0, abs_tol=0.01)
    assert math.isclose(float(area.mean()), (1 + LEAST_AREA) / 2, abs_tol=0.01)
    for start, length in ((top, rows), (left, columns)):
        assert start.min() == 0
        assert (start + length).max() == 200
        assert math.isclose(float((start / (200 - length)).nanmean()), 0.5, abs_tol=0.02)


def test_colours_change_by_the_definition_in_this_order():
    pixels = torch.tensor([[200, 100, 50], [0, 40, 240]], dtype=torch.uint8).T.reshape(1, 3, 1, 2)
    bright = jittered(pixels, torch.tensor([[1280, 1024, 1024]]))
    assert bright.flatten(1).reshape(3, 2).T.tolist() == [[250, 125, 63], [0, 50, 255]]
    # Greys 0.299 * 200 + 0.587 * 100 + 0.114 * 50 = 124 and 0.587 * 40 + 0.114 * 240 = 51, mean 87.5, rounded 88.
    contrast = jittered(pixels, torch.tensor([[1024, 512, 1024]]))
    assert contrast.flatten(1).reshape(3, 2).T.tolist() == [[144, 94, 69], [44, 64, 164]]
    grey = jittered(pixels, torch.tensor([[1024, 1024, 0]]))
    assert grey.flatten(1).reshape(3, 2).T.tolist() == [[124] * 3, [51] * 3]
    assert torch.equal(jittered(pixels, torch.tensor([[1024, 1024, 1024]])), pixels)


def test_colours_change_as_torchvision_does(images):
    factors = drawn_colours(torch.arange(32), 2, 0)
    ours = jittered(images, factors)
    for image, (brightness, contrast, saturation), changed_image in zip(
        images, (factors / 1024).tolist(), ours, strict=True
    ):
        theirs = vision.adjust_brightness(image, brightness)
        theirs = vision.adjust_contrast(theirs, contrast)
        theirs = vision.adjust_saturation(theirs, saturation)
        assert (changed_image.int() - theirs.int()).abs().max() <= 4  # torchvision cuts digits off at each step


def test_factors_are_uniform_and_independent():
    factors = drawn_colours(torch.arange(20_000), 0, 0).double() / 1024
    assert torch.allclose(factors.mean(0), torch.ones(3, dtype=torch.float64), atol=0.01)
    assert torch.allclose(factors.min(0).values, torch.full((3,), 1 - JITTER, dtype=torch.float64), atol=0.01)
    assert torch.allclose(factors.max(0).values, torch.full((3,), 1 + JITTER, dtype=torch.float64), atol=0.01)
    assert (torch.corrcoef(factors.T) - torch.eye(3)).abs().max() < 0.03


def test_grey_images_have_no_saturation():
    grey = torch.arange(64, dtype=torch.uint8).view(1, 1, 8, 8)
    factors = torch.tensor([[900, 1200, 0]])
    assert torch.equal(jittered(grey, factors), jittered(grey, torch.tensor([[900, 1200, 1024]])))


def test_a_hue_is_turned_about_grey_and_channels_change_places():
    hues = drawn_hues(torch.arange(20_000), 0, 0)
    assert (hues.sum(2) == 1024).all() and (hues.sum(1) - 1024).abs().max() <= 2
    grey = torch.full((1, 3, 2, 2), 77, dtype=torch.uint8)
    assert torch.equal(recoloured(grey, hues[:1]), grey)
    # Every order of the channels with equal probability in half of the images, the hue itself in half.
    order = hues.argmax(2)
    is_ordered = (order != torch.arange(3)).any(1).double().mean()
    assert math.isclose(is_ordered, 5 / 12, abs_tol=0.02)
    is_turned = ((hues != 0).sum(2) > 1).any(1).double().mean()
    assert math.isclose(is_turned, 1 / 2, abs_tol=0.02)
    # By Rodrigues' formula the largest share is (1 + 2 cos(angle)) / 3, smallest at 18 degrees.
    least = (1 + 2 * math.cos(math.radians(HUE_DEGREES))) / 3
    assert math.isclose(hues.amax(2).min() / 1024, least, abs_tol=0.002)


def test_the_angle_of_a_turned_hue():
    hues = drawn_hues(torch.arange(400), 0, 0)
    kept = hues[(hues.argmax(2) == torch.arange(3)).all(1)].double() / 1024
    red = torch.tensor([1.0, 0.0, 0.0], dtype=torch.float64)
    plane = torch.tensor([[2.0, -1.0, -1.0], [0.0, 3**0.5, -(3**0.5)]], dtype=torch.float64)
    x, y = (kept @ red @ plane.T).unbind(1)
    angles = torch.rad2deg(torch.atan2(y, x))
    assert angles.abs().max() <= HUE_DEGREES + 0.2 and angles.min() < -10 and angles.max() > 10
    assert torch.allclose(kept @ kept.mT, torch.eye(3, dtype=torch.float64).expand_as(kept), atol=0.003)


def test_channels_are_mixed_by_the_shares():
    pixels = torch.tensor([200, 100, 50], dtype=torch.uint8).view(1, 3, 1, 1)
    shares = torch.tensor([[[0, 1024, 0], [0, 0, 1024], [1024, 0, 0]]])
    assert recoloured(pixels, shares).flatten().tolist() == [100, 50, 200]
    halves = torch.tensor([[[512, 512, 0], [1280, -256, 0], [0, -256, 1280]]])
    assert recoloured(pixels, halves).flatten().tolist() == [150, 225, 38]  # 62.5 - 25 = 37.5, rounded up
    one = torch.arange(4, dtype=torch.uint8).view(1, 1, 2, 2)
    assert torch.equal(recoloured(one, halves), one)


@pytest.mark.parametrize("changes", [("resized-crop",), ("jitter",), PHOTO, (*PHOTO, "crop", "rotate")], ids="-".join)
def test_an_image_changes_alike_alone_and_in_any_batch_and_otherwise_in_other_epochs(images, changes):
    whole = augment(images, torch.arange(32), changes, 3, 7)
    mixed = torch.tensor([9, 2, 31, 2])
    assert torch.equal(augment(images, mixed, changes, 3, 7), whole[mixed])
    epoch_tables = Changes.drawn(torch.arange(32), changes, (12, 16), 3, 7)
    assert torch.equal(epoch_tables.of(mixed).applied_to(images[mixed]), whole[mixed])
    for other in (augment(images, torch.arange(32), changes, 3, 8), augment(images, torch.arange(32), changes, 4, 7)):
        assert (whole != other).flatten(1).any(1).float().mean() > 0.9


def test_all_changes_follow_each_other(images):
    index = torch.arange(32)
    step_by_step = images
    for change in PHOTO:
        step_by_step = augment(step_by_step, index, (change,), 2, 3)
    assert torch.equal(augment(images, index, ("hue", "jitter", "flip", "resized-crop"), 2, 3), step_by_step)
