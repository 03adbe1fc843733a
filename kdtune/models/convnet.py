"""Three convolutions and a linear layer: networks for small grey images on a machine without a GPU.

These networks are kdtune's own. For 8x8 pixels, convnet_32 teaches convnet_2_4_4, which has so few channels that the
effect of the teacher and of the temperature shows in its accuracy. For 28x28 pixels, convnet_16_32_64 teaches
convnet_4_8_16. On Fashion-MNIST this teacher reaches 88 % validation accuracy after four epochs, and the student alone
81 % after three. One epoch of the student with a live teacher over 54,000 images takes about 6 s on one core.

Convolutions and linear layer keep PyTorch's default initialisation.
"""

from itertools import pairwise

import torch
from torch import nn


class ConvNet(nn.Module):
    """Convolution, batch normalisation and ReLU three times (stride 1, 2, 2), global average, linear."""

    def __init__(self, widths: tuple[int, int, int], in_channels: int, num_classes: int) -> None:
        super().__init__()
        blocks: list[nn.Module] = []
        for depth, (width_in, width_out) in enumerate(pairwise((in_channels, *widths))):
            stride = 1 if depth == 0 else 2
            blocks += [
                nn.Conv2d(width_in, width_out, 3, stride=stride, padding=1, bias=False),
                nn.BatchNorm2d(width_out),
                nn.ReLU(inplace=True),
            ]
        self.features = nn.Sequential(*blocks)
        self.classifier = nn.Linear(widths[-1], num_classes)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Map images (batch, in_channels, height, width) to logits (batch, num_classes)."""
        return self.classifier(self.features(images).mean((2, 3)))


def convnet_32(in_channels: int, num_classes: int) -> ConvNet:
    """Build the teacher for images of 8x8: 32 channels in each layer."""
    return ConvNet((32, 32, 32), in_channels, num_classes)


def convnet_2_4_4(in_channels: int, num_classes: int) -> ConvNet:
    """Build the student for images of 8x8: 2, 4 and 4 channels."""
    return ConvNet((2, 4, 4), in_channels, num_classes)


def convnet_16_32_64(in_channels: int, num_classes: int) -> ConvNet:
    """Build the teacher for images of 28x28: 16, 32 and 64 channels."""
    return ConvNet((16, 32, 64), in_channels, num_classes)


def convnet_4_8_16(in_channels: int, num_classes: int) -> ConvNet:
    """Build the student for images of 28x28: 4, 8 and 16 channels."""
    return ConvNet((4, 8, 16), in_channels, num_classes)
