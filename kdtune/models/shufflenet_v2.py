"""ShuffleNetV2 for small images: Ma, Zhang, Zheng and Sun, "ShuffleNet V2" (2018), at width 1.

This variant matches the FLOPs of the paper on stochastic temperature (PLOS ONE 2023, doi 10.1371/journal.pone.0285668):
0.1787 GMACs for an image of 64x64 and 200 classes. It has 1.46 million parameters for 200 classes; that paper states
1.5. It differs from the ImageNet variant (and from torchvision's, with 0.1847 GMACs for the same stem) as follows:

- the stem is a 3x3 convolution of stride 1 with batch normalisation but no ReLU, and no max-pooling follows;
- in a unit that halves the image, the second branch keeps the width of its input up to its last convolution;
- convolutions have a bias although a batch normalisation follows.

It is the variant of weiaicunzai/pytorch-cifar100, a collection of models for CIFAR-100. As there, weights keep
PyTorch's default initialisation.
"""

import torch
from torch import nn
from torchvision.ops.misc import Conv2dNormActivation

STEM_WIDTH = 24
# Output channels of each stage, and the number of its units after the one that halves the image.
STAGES = ((116, 3), (232, 7), (464, 3))
LAST_WIDTH = 1024


def _depthwise(width: int, stride: int) -> Conv2dNormActivation:
    """Build a depthwise 3x3 convolution with batch normalisation."""
    return Conv2dNormActivation(width, width, 3, stride=stride, groups=width, activation_layer=None, bias=True)


def _pointwise(width_in: int, width_out: int) -> Conv2dNormActivation:
    """Build a 1x1 convolution with batch normalisation and ReLU."""
    return Conv2dNormActivation(width_in, width_out, 1, bias=True)


class HalvingUnit(nn.Module):
    """A unit whose two branches receive all channels and halve the image."""

    def __init__(self, width_in: int, width_out: int) -> None:
        super().__init__()
        half = width_out // 2
        self.first = nn.Sequential(_depthwise(width_in, 2), _pointwise(width_in, half))
        self.second = nn.Sequential(_pointwise(width_in, width_in), _depthwise(width_in, 2), _pointwise(width_in, half))
        self.shuffle = nn.ChannelShuffle(2)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Return features of shape (batch, width_out, height / 2, width / 2)."""
        return self.shuffle(torch.cat((self.first(features), self.second(features)), dim=1))


class SplitUnit(nn.Module):
    """A unit that convolves one half of the channels and passes the other half on."""

    def __init__(self, width: int) -> None:
        super().__init__()
        half = width // 2
        self.convolved = nn.Sequential(_pointwise(half, half), _depthwise(half, 1), _pointwise(half, half))
        self.shuffle = nn.ChannelShuffle(2)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Return features of the same shape."""
        passed, rest = features.chunk(2, dim=1)
        return self.shuffle(torch.cat((passed, self.convolved(rest)), dim=1))


def shufflenet_v2(in_channels: int, num_classes: int) -> nn.Sequential:
    """Build ShuffleNetV2 of width 1, a teacher and student of the paper on stochastic temperature.

    Args:
        in_channels: Channels of the images.
        num_classes: Number of logits per image.

    Returns:
        A network from images of shape (batch, in_channels, height, width) to logits of shape (batch, num_classes).
    """
    layers: list[nn.Module] = [Conv2dNormActivation(in_channels, STEM_WIDTH, 3, activation_layer=None, bias=True)]
    width_in = STEM_WIDTH
    for width, units in STAGES:
        layers += [HalvingUnit(width_in, width), *(SplitUnit(width) for _ in range(units))]
        width_in = width
    return nn.Sequential(
        *layers,
        _pointwise(width_in, LAST_WIDTH),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(LAST_WIDTH, num_classes),
    )
