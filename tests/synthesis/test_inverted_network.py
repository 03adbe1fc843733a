"""A teacher whose batch statistics are compared with its running ones."""

import pytest
import torch
from torch import nn

from kdtune.specs.numerics import Numerics
from kdtune.synthesis.inverted_network import statistics_layers


def _as_is(channels=1):
    """Batch normalisation with the running mean 0 and variance 1, and nothing before it."""
    return nn.Sequential(nn.BatchNorm2d(channels), nn.Flatten()).eval().requires_grad_(False)


def test_the_distance_has_the_value_computed_by_hand(inverted):
    teacher, images = inverted(_as_is()), torch.tensor([0.0, 2.0, 4.0, 6.0]).view(4, 1, 1, 1)
    with teacher.watched():
        assert teacher(images).distance.item() == pytest.approx(3 + 4, abs=1e-5)


def test_the_gradient_is_that_of_the_formula(inverted):
    teacher, images = inverted(_as_is(3)), torch.randn(5, 3, 4, 4, requires_grad=True)
    with teacher.watched():
        (found,) = torch.autograd.grad(teacher(images).distance, images)
    variance, mean = torch.var_mean(images, (0, 2, 3), correction=0)
    (expected,) = torch.autograd.grad((1 - variance).norm() + mean.norm(), images)
    assert torch.allclose(found, expected, atol=1e-6)


def test_bfloat16_gives_float32_statistics_near_those_of_float32(inverted, network):
    images = torch.randn(64, 1, 8, 8)
    numerics = Numerics(precision="bfloat16", memory_layout="channels_last", compile="off")
    plain, rounded = inverted(network), inverted(network, numerics)
    with plain.watched():
        expected = plain(images).distance
    with rounded.watched():
        found = rounded(images).distance
    assert found.dtype == torch.float32
    assert found.item() == pytest.approx(expected.item(), rel=0.02)


def test_features_are_the_means_of_the_channels(inverted):
    teacher, images = inverted(_as_is(2)), torch.randn(3, 2, 4, 4)
    with teacher.watched():
        features = teacher(images, with_features=True).features
    assert teacher.feature_size == 2
    assert torch.allclose(features, images.mean((2, 3)))


def test_nothing_is_watched_outside_the_context(inverted, network):
    teacher = inverted(network)
    with teacher.watched():
        pass
    assert not network[1]._forward_pre_hooks


def test_a_pixel_keeps_its_value_through_normalisation(inverted, network):
    teacher, pixels = inverted(network), torch.arange(256, dtype=torch.uint8).view(1, 1, 16, 16)
    assert torch.equal(teacher.pixels(teacher.normalised(pixels.float() / 255)), pixels)


def test_layers_without_running_statistics_do_not_count():
    assert len(statistics_layers(nn.Sequential(nn.BatchNorm2d(2), nn.BatchNorm2d(2, track_running_stats=False)))) == 1
