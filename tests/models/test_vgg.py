import pytest
import torch

from kdtune.models.vgg import vgg8


@pytest.mark.parametrize(("pixels", "left"), [(28, 3), (32, 4), (64, 8)])
def test_three_poolings_at_every_size(pixels, left):
    assert vgg8(1, 10).eval()[:-3](torch.zeros(1, 1, pixels, pixels)).shape == (1, 512, left, left)


def test_the_linear_layer_starts_small():
    torch.manual_seed(0)
    classifier = vgg8(3, 100)[-1]
    assert classifier.weight.std().item() == pytest.approx(0.01, rel=0.02)
    assert not classifier.bias.any()
