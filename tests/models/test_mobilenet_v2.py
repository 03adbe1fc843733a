import torch
from torch import nn

from kdtune.models.mobilenet_v2 import InvertedResidual, mobilenet_v2, mobilenet_v2_half


def silence(block):
    """The last batch normalisation gives zeros, so that only what goes past the layers is left."""
    nn.init.zeros_([module for module in block.modules() if isinstance(module, nn.BatchNorm2d)][-1].weight)
    return block


def test_the_stem_pads_to_34_pixels_and_three_strides_leave_5():
    model = mobilenet_v2(3, 100).eval()
    features = torch.zeros(1, 3, 32, 32)
    sizes = []
    for layer in model[:-3]:
        features = layer(features)
        sizes.append(features.shape[-1])
    assert sizes == [34, 34, *[17] * 2, *[9] * 3, *[5] * 12]


def test_the_stem_of_half_width_halves_the_pixels_and_three_strides_leave_2():
    model = mobilenet_v2_half(3, 100).eval()
    features = torch.zeros(1, 3, 32, 32)
    sizes = []
    for layer in model[:-3]:
        features = layer(features)
        sizes.append(features.shape[-1])
    assert sizes == [16, *[16] * 3, *[8] * 3, *[4] * 7, *[2] * 5]
    assert features.shape[1] == 1280 and not any(isinstance(module, nn.ReLU6) for module in model.modules())


def test_a_block_adds_its_input_where_the_shape_stays():
    features = torch.randn(2, 8, 4, 4)
    assert torch.equal(silence(InvertedResidual(8, 8, stride=1, expansion=6))(features), features)
    assert not silence(InvertedResidual(8, 12, stride=1, expansion=6))(features).any()
    assert not silence(InvertedResidual(8, 8, stride=2, expansion=6))(features).any()


def test_a_blocks_output_is_linear_and_its_hidden_layers_stop_at_6():
    layers = InvertedResidual(8, 12, stride=1, expansion=1).layers
    assert [[type(layer) for layer in part] for part in layers] == [
        [nn.Conv2d, nn.BatchNorm2d, nn.ReLU6],
        [nn.Conv2d, nn.BatchNorm2d, nn.ReLU6],
        [nn.Conv2d, nn.BatchNorm2d],
    ]
