"""Residual networks for small images: He, Zhang, Ren and Sun, "Deep Residual Learning for Image Recognition" (2016).

Every variant starts with one 3x3 convolution of stride 1, whereas the ImageNet variant has 7x7, stride 2 and
max-pooling. The four stages of ResNet-18 therefore work at 32, 16, 8 and 4 pixels for an image of 32x32, and at twice
that for 64x64. The others have three stages with the same number of blocks, as in that paper's section on CIFAR-10.

If a stage changes the shape, the shortcut is a 1x1 convolution with batch normalisation. The paper's CIFAR networks pad
with zeros instead, so ResNet-20 and ResNet-56 have about 2,700 more parameters here. This is the variant used in the
distillation literature, together with the wider resnet8x4 and resnet32x4: Tian, Krishnan and Isola, "Contrastive
Representation Distillation" (2020).

Weights are initialised as in He et al. (2015), those of the linear layer with PyTorch's default.
"""

from itertools import pairwise

from torch import nn
from torchvision.models.resnet import BasicBlock
from torchvision.ops.misc import Conv2dNormActivation

from kdtune.models.initialise import he_normal


def _resnet(stem: int, stages: tuple[int, ...], blocks: int, in_channels: int, num_classes: int) -> nn.Sequential:
    """Build a stem, stages of basic blocks (all but the first halve the image), global average and linear layer.

    Args:
        stem: Channels of the first convolution.
        stages: Channels of each stage.
        blocks: Number of blocks of two convolutions per stage.
        in_channels: Channels of the images.
        num_classes: Number of logits per image.

    Returns:
        A network from images of shape (batch, in_channels, height, width) to logits of shape (batch, num_classes).
    """
    layers: list[nn.Module] = [Conv2dNormActivation(in_channels, stem, 3)]
    for stage, (width_in, width_out) in enumerate(pairwise((stem, *stages))):
        stride = 1 if stage == 0 else 2
        shortcut = None
        if width_in != width_out:
            shortcut = Conv2dNormActivation(width_in, width_out, 1, stride=stride, activation_layer=None)
        layers.append(BasicBlock(width_in, width_out, stride, shortcut))
        layers += [BasicBlock(width_out, width_out) for _ in range(blocks - 1)]
    return he_normal(nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(stages[-1], num_classes)))


def resnet18(in_channels: int, num_classes: int) -> nn.Sequential:
    """Build ResNet-18: two blocks of 64, 128, 256 and 512 channels each."""
    return _resnet(64, (64, 128, 256, 512), 2, in_channels, num_classes)


def resnet20(in_channels: int, num_classes: int) -> nn.Sequential:
    """Build ResNet-20: three blocks of 16, 32 and 64 channels each."""
    return _resnet(16, (16, 32, 64), 3, in_channels, num_classes)


def resnet56(in_channels: int, num_classes: int) -> nn.Sequential:
    """Build ResNet-56: nine blocks of 16, 32 and 64 channels each."""
    return _resnet(16, (16, 32, 64), 9, in_channels, num_classes)


def resnet8x4(in_channels: int, num_classes: int) -> nn.Sequential:
    """Build ResNet-8 with four times the channels: one block of 64, 128 and 256, after a stem of 32."""
    return _resnet(32, (64, 128, 256), 1, in_channels, num_classes)


def resnet32x4(in_channels: int, num_classes: int) -> nn.Sequential:
    """Build ResNet-32 with four times the channels: five blocks of 64, 128 and 256 each, after a stem of 32."""
    return _resnet(32, (64, 128, 256), 5, in_channels, num_classes)
