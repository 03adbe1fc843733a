import pytest
import torch

from kdtune.catalog.builtin import MODELS
from kdtune.energy.operation_counts import count_operations

# Parameters, layer by layer (no bias before a batch normalisation, which has a scale and a shift a channel):
#   convnet_2_4_4: 9*1*2 + 2*2 + 9*2*4 + 2*4 + 9*4*4 + 2*4 + (4*10 + 10) = 18 + 4 + 72 + 8 + 144 + 8 + 50
#   convnet_32:    9*1*32 + 2*32 + 2 * (9*32*32 + 2*32) + (32*10 + 10)   = 288 + 64 + 2 * 9280 + 330
PARAMETERS = {"convnet_2_4_4": 304, "convnet_32": 19_242}

# Multiply-adds of an 8x8 image: outputs of 8x8, 4x4 and 2x2 pixels, nine weights an input channel, and two a
# number for each batch normalisation, as fvcore counts it.
#   convnet_2_4_4: 64*2*9*1 + 16*4*9*2 + 4*4*9*4     = 1152 + 1152 + 576       convolutions
#                  2 * (64*2 + 16*4 + 4*4)           = 416                      normalisations
#                  4*10                              = 40                       linear
#   convnet_32:    64*32*9*1 + 16*32*9*32 + 4*32*9*32 = 18432 + 147456 + 36864
#                  2 * (64 + 16 + 4) * 32            = 5376
#                  32*10                             = 320
MACS = {"convnet_2_4_4": 3_336, "convnet_32": 208_448}


def build(name):
    torch.manual_seed(0)
    return MODELS.load(name)(1, 10)


@pytest.mark.parametrize(("name", "count"), PARAMETERS.items())
def test_the_number_of_parameters(name, count):
    assert sum(parameter.numel() for parameter in build(name).parameters()) == count


@pytest.mark.parametrize(("name", "count"), MACS.items())
def test_the_number_of_multiply_adds(name, count):
    assert count_operations(build(name), 1, 8, 8).macs == count


@pytest.mark.parametrize("name", PARAMETERS)
def test_every_parameter_gets_a_gradient(name):
    model = build(name)
    torch.manual_seed(1)
    torch.nn.functional.cross_entropy(model(torch.randn(16, 1, 8, 8)), torch.arange(16) % 10).backward()
    assert all(parameter.grad is not None and parameter.grad.abs().sum() > 0 for parameter in model.parameters())
