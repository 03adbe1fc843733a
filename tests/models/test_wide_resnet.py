import torch
from torch import nn

from kdtune.models.wide_resnet import PreactivatedBlock, wrn_16_2


def test_a_block_adds_to_its_input_as_it_came():
    features = torch.randn(2, 8, 4, 4)
    block = PreactivatedBlock(8, 8, stride=1)
    nn.init.zeros_(block.convolutions[-1].weight)
    assert torch.equal(block(features), features)


def test_a_change_of_width_projects_the_normalised_and_rectified_input():
    features = torch.randn(2, 8, 4, 4)
    block = PreactivatedBlock(8, 16, stride=2).eval()
    nn.init.zeros_(block.convolutions[-1].weight)
    assert torch.equal(block(features), block.projection(block.activation(features)))
    assert block(features).shape == (2, 16, 2, 2)


def test_the_linear_layer_starts_without_bias():
    assert not wrn_16_2(3, 100)[-1].bias.any()
