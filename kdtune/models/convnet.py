"""Three convolutions and a linear layer: the teacher and the student for images of 8x8 pixels.

kdtune's own. The student has so few channels that what the teacher adds, and at which temperature,
shows in its accuracy.
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
        """Logits of shape (batch, num_classes) for images of shape (batch, in_channels, height, width)."""
        return self.classifier(self.features(images).mean((2, 3)))


def convnet_32(in_channels: int, num_classes: int) -> ConvNet:
    """The teacher: 32 channels in each layer."""
    return ConvNet((32, 32, 32), in_channels, num_classes)


def convnet_2_4_4(in_channels: int, num_classes: int) -> ConvNet:
    """The student: 2, 4 and 4 channels."""
    return ConvNet((2, 4, 4), in_channels, num_classes)
