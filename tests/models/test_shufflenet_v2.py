import torch
from torch import nn

from kdtune.models.shufflenet_v2 import HalvingUnit, SplitUnit, shufflenet_v2


def test_half_of_the_channels_pass_and_are_interleaved_with_the_others():
    features = torch.randn(2, 8, 4, 4)
    unit = SplitUnit(8).eval()
    result = unit(features)
    assert torch.equal(result[:, 0::2], features[:, :4])
    assert torch.equal(result[:, 1::2], unit.convolved(features[:, 4:]))


def test_both_branches_of_a_halving_unit_see_all_channels():
    features = torch.randn(2, 6, 8, 8)
    unit = HalvingUnit(6, 16).eval()
    result = unit(features)
    assert result.shape == (2, 16, 4, 4)
    assert torch.equal(result[:, 0::2], unit.first(features))
    assert torch.equal(result[:, 1::2], unit.second(features))


def test_the_stem_keeps_the_size_and_three_units_halve_it():
    model = shufflenet_v2(3, 100).eval()
    assert [type(layer) for layer in model[0]] == [nn.Conv2d, nn.BatchNorm2d]
    assert model[0](torch.zeros(1, 3, 32, 32)).shape == (1, 24, 32, 32)
    assert model[:-3](torch.zeros(1, 3, 32, 32)).shape == (1, 1024, 4, 4)
