import pytest
import torch
from torch import nn

from kdtune.models.initialise import he_normal


@pytest.fixture
def model():
    torch.manual_seed(0)
    return nn.Sequential(nn.Sequential(nn.Conv2d(20, 50, 3)), nn.Conv2d(50, 200, 1, bias=False), nn.Linear(200, 5))


def test_the_deviation_follows_from_the_kernel_and_the_output_channels(model):
    he_normal(model)
    assert model[0][0].weight.std().item() == pytest.approx((2 / (9 * 50)) ** 0.5, rel=0.03)  # 9,000 draws
    assert model[1].weight.std().item() == pytest.approx((2 / 200) ** 0.5, rel=0.03)  # 10,000 draws
    assert model[0][0].weight.mean().item() == pytest.approx(0, abs=0.003)


def test_biases_of_convolutions_are_zero_and_linear_layers_are_left(model):
    linear = model[2].weight.clone(), model[2].bias.clone()
    assert he_normal(model) is model
    assert model[0][0].bias.eq(0).all()
    assert torch.equal(model[2].weight, linear[0])
    assert torch.equal(model[2].bias, linear[1])
