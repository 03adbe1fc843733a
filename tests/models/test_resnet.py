import torch
from torchvision.models.resnet import BasicBlock

from kdtune.models.resnet import resnet18, resnet20


def test_resnet18_has_its_four_stages_at_32_16_8_and_4_pixels():
    features = torch.zeros(1, 3, 32, 32)
    sizes = []
    for layer in resnet18(3, 100).eval()[:-3]:
        features = layer(features)
        sizes.append(tuple(features.shape[1:3]))
    assert sizes == [(64, 32), *[(64, 32)] * 2, *[(128, 16)] * 2, *[(256, 8)] * 2, *[(512, 4)] * 2]


def test_only_a_block_that_changes_the_shape_has_weights_in_its_shortcut():
    blocks = [layer for layer in resnet20(3, 100) if isinstance(layer, BasicBlock)]
    assert [block.downsample is not None for block in blocks] == [index in (3, 6) for index in range(9)]
    assert [type(layer).__name__ for layer in blocks[3].downsample] == ["Conv2d", "BatchNorm2d"]
