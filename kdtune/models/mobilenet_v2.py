"""MobileNetV2 for small images: Sandler, Howard, Zhu, Zhmoginov and Chen, "MobileNetV2" (2018).

This variant matches the FLOPs of the paper on stochastic temperature (PLOS ONE 2023, doi 10.1371/journal.pone.0285668):
0.0667 GMACs for an image of 32x32, and 0.2219 for 64x64. That paper's Table 3 states 3.4 million parameters, about
the number of the ImageNet variant; this one has 2.37 million for 100 classes.

It differs from the ImageNet variant (and from torchvision's) as follows:

- the stem is a 1x1 convolution of stride 1 with a padding of 1, so that 32x32 pixels become 34x34;
- the stages' strides are 1, 2, 2, 2, 1, 1, 1, not 1, 2, 2, 2, 1, 2, 1;
- the first block, whose expansion factor is 1, has a 1x1 expansion like the others;
- convolutions have a bias although a batch normalisation follows;
- the classifier is a 1x1 convolution after the global average, without dropout.

It is the variant of weiaicunzai/pytorch-cifar100, a collection of models for CIFAR-100. As there, weights keep
PyTorch's default initialisation.

The variant of half width is the student of Tian, Krishnan and Isola, "Contrastive Representation Distillation" (2020),
whose published accuracies the distillation literature quotes: a 3x3 stem of stride 2, strides 1, 1, 2, 2, 1, 2, 1,
ReLU, no bias before a batch normalisation, and half of all widths but the last.
"""

from collections.abc import Sequence

import torch
from torch import nn
from torchvision.ops.misc import Conv2dNormActivation

from kdtune.models.initialise import he_normal

# Expansion, output channels, blocks and first stride of each stage.
STAGES = ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 1), (6, 320, 1, 1))
STEM_WIDTH = 32
LAST_WIDTH = 1280

#: Stages of the variant of half width.
HALF_STAGES = ((1, 8, 1, 1), (6, 12, 2, 1), (6, 16, 3, 2), (6, 32, 4, 2), (6, 48, 3, 1), (6, 80, 3, 2), (6, 160, 1, 1))
HALF_STEM_WIDTH = 16


class InvertedResidual(nn.Module):
    """Expansion, depthwise convolution and projection, with a residual connection if the shape stays the same."""

    def __init__(
        self,
        width_in: int,
        width_out: int,
        stride: int,
        expansion: int,
        activation: type[nn.Module] = nn.ReLU6,
        bias: bool = True,
    ) -> None:
        super().__init__()
        hidden = width_in * expansion
        self.adds_input = stride == 1 and width_in == width_out
        self.layers = nn.Sequential(
            Conv2dNormActivation(width_in, hidden, 1, activation_layer=activation, bias=bias),
            Conv2dNormActivation(
                hidden, hidden, 3, stride=stride, groups=hidden, activation_layer=activation, bias=bias
            ),
            Conv2dNormActivation(hidden, width_out, 1, activation_layer=None, bias=bias),
        )

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Return features of shape (batch, width_out, height / stride, width / stride)."""
        narrowed = self.layers(features)
        return features + narrowed if self.adds_input else narrowed


def _blocks(
    width_in: int,
    stages: Sequence[tuple[int, int, int, int]],
    activation: type[nn.Module] = nn.ReLU6,
    bias: bool = True,
) -> list[nn.Module]:
    """Return the blocks of all stages, for features of a width."""
    blocks: list[nn.Module] = []
    for expansion, width, count, first_stride in stages:
        for block in range(count):
            stride = first_stride if block == 0 else 1
            blocks.append(InvertedResidual(width_in, width, stride, expansion, activation, bias))
            width_in = width
    return blocks


def mobilenet_v2(in_channels: int, num_classes: int) -> nn.Sequential:
    """Build MobileNetV2 of width 1, the student of the paper on stochastic temperature.

    Args:
        in_channels: Channels of the images.
        num_classes: Number of logits per image.

    Returns:
        A network from images of shape (batch, in_channels, height, width) to logits of shape (batch, num_classes).
    """
    return nn.Sequential(
        Conv2dNormActivation(in_channels, STEM_WIDTH, 1, padding=1, activation_layer=nn.ReLU6, bias=True),
        *_blocks(STEM_WIDTH, STAGES),
        Conv2dNormActivation(STAGES[-1][1], LAST_WIDTH, 1, activation_layer=nn.ReLU6, bias=True),
        nn.AdaptiveAvgPool2d(1),
        nn.Conv2d(LAST_WIDTH, num_classes, 1),
        nn.Flatten(),
    )


def mobilenet_v2_half(in_channels: int, num_classes: int) -> nn.Sequential:
    """Build MobileNetV2 of half width, a common student in the distillation literature.

    Args:
        in_channels: Channels of the images.
        num_classes: Number of logits per image.

    Returns:
        A network from images of shape (batch, in_channels, height, width) to logits of shape (batch, num_classes).
    """
    stem = Conv2dNormActivation(in_channels, HALF_STEM_WIDTH, 3, stride=2, activation_layer=nn.ReLU, bias=False)
    blocks = _blocks(HALF_STEM_WIDTH, HALF_STAGES, nn.ReLU, bias=False)
    classifier = nn.Linear(LAST_WIDTH, num_classes)
    nn.init.normal_(classifier.weight, std=0.01)
    nn.init.zeros_(classifier.bias)
    last = Conv2dNormActivation(HALF_STAGES[-1][1], LAST_WIDTH, 1, activation_layer=nn.ReLU, bias=False)
    return he_normal(nn.Sequential(stem, *blocks, last, nn.AdaptiveAvgPool2d(1), nn.Flatten(), classifier))
