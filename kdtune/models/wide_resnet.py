"""Wide residual networks: Zagoruyko and Komodakis, "Wide Residual Networks" (2016).

They are designed for images of 32x32. WRN-d-k has a 3x3 stem of 16 channels and stride 1, then three stages of
(d - 4) / 6 blocks of two convolutions, with k times 16, 32 and 64 channels. Batch normalisation and ReLU precede each
convolution of a block, and follow the last stage. There is no dropout, which the paper uses in some networks. For
ImageNet the paper uses widened ResNets instead, with their 7x7 stem and max-pooling.

Convolutions are initialised as in He et al. (2015); the linear layer has PyTorch's default weights and a bias of 0.
"""

from itertools import pairwise

import torch
from torch import nn

from kdtune.models.initialise import he_normal

STEM_WIDTH = 16
STAGE_WIDTHS = (16, 32, 64)


class PreactivatedBlock(nn.Module):
    """Two convolutions, each after batch normalisation and ReLU, with a residual connection.

    If the width changes, the residual connection is a 1x1 convolution of the normalised input.
    """

    def __init__(self, width_in: int, width_out: int, stride: int) -> None:
        super().__init__()
        self.activation = nn.Sequential(nn.BatchNorm2d(width_in), nn.ReLU(inplace=True))
        self.convolutions = nn.Sequential(
            nn.Conv2d(width_in, width_out, 3, stride=stride, padding=1, bias=False),
            nn.BatchNorm2d(width_out),
            nn.ReLU(inplace=True),
            nn.Conv2d(width_out, width_out, 3, padding=1, bias=False),
        )
        self.projection = None
        if width_in != width_out:
            self.projection = nn.Conv2d(width_in, width_out, 1, stride=stride, bias=False)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Return features of shape (batch, width_out, height / stride, width / stride)."""
        activated = self.activation(features)
        shortcut = features if self.projection is None else self.projection(activated)
        return shortcut + self.convolutions(activated)


def _wide_resnet(depth: int, widening: int, in_channels: int, num_classes: int) -> nn.Sequential:
    """Build WRN-depth-widening.

    Args:
        depth: Depth of the network, 6 n + 4 for n blocks per stage.
        widening: Factor of the channels of the stages.
        in_channels: Channels of the images.
        num_classes: Number of logits per image.

    Returns:
        A network from images of shape (batch, in_channels, height, width) to logits of shape (batch, num_classes).
    """
    blocks = (depth - 4) // 6
    widths = [STEM_WIDTH, *(width * widening for width in STAGE_WIDTHS)]
    layers: list[nn.Module] = [nn.Conv2d(in_channels, STEM_WIDTH, 3, padding=1, bias=False)]
    for stage, (width_in, width_out) in enumerate(pairwise(widths)):
        layers.append(PreactivatedBlock(width_in, width_out, stride=1 if stage == 0 else 2))
        layers += [PreactivatedBlock(width_out, width_out, stride=1) for _ in range(blocks - 1)]
    layers += [nn.BatchNorm2d(widths[-1]), nn.ReLU(inplace=True)]
    classifier = nn.Linear(widths[-1], num_classes)
    nn.init.zeros_(classifier.bias)
    return he_normal(nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), classifier))


def wrn_40_2(in_channels: int, num_classes: int) -> nn.Sequential:
    """Build WRN-40-2: six blocks of 32, 64 and 128 channels each."""
    return _wide_resnet(40, 2, in_channels, num_classes)


def wrn_16_1(in_channels: int, num_classes: int) -> nn.Sequential:
    """Build WRN-16-1: two blocks of 16, 32 and 64 channels each."""
    return _wide_resnet(16, 1, in_channels, num_classes)


def wrn_16_2(in_channels: int, num_classes: int) -> nn.Sequential:
    """Build WRN-16-2: two blocks of 32, 64 and 128 channels each."""
    return _wide_resnet(16, 2, in_channels, num_classes)
