"""Residual networks for small images: He, Zhang, Ren and Sun, "Deep Residual Learning for Image Recognition" (2016).

Every form starts with one 3x3 convolution of stride 1, where the ImageNet form has 7x7, stride 2 and a max-pooling;
so ResNet-18's four stages work at 32, 16, 8 and 4 pixels for an image of 32x32, and twice that for 64x64. The
others have three stages of equally many blocks, as that paper's section on CIFAR-10.

Where a stage changes the shape, the shortcut is a 1x1 convolution with batch normalisation. The paper's CIFAR
networks pad with zeros instead, so ResNet-20 and ResNet-56 have some 2,700 parameters more here. That is the form
which the literature on distillation compares, with resnet8x4 and resnet32x4, whose channels are wider: Tian,
Krishnan and Isola, "Contrastive Representation Distillation" (2020).

Weights start as He et al. (2015) draw them, the linear layer's as PyTorch does.
"""

from itertools import pairwise

from torch import nn
from torchvision.models.resnet import BasicBlock
from torchvision.ops.misc import Conv2dNormActivation

from kdtune.models.initialise import he_normal


def _resnet(stem: int, stages: tuple[int, ...], blocks: int, in_channels: int, num_classes: int) -> nn.Sequential:
    """A stem, stages of basic blocks that halve the image from the second on, global average, linear layer.

    Args:
        stem: Channels of the first convolution.
        stages: Channels of each stage.
        blocks: Blocks of two convolutions in each stage.
        in_channels: Of the images.
        num_classes: Logits of an image.

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
    """ResNet-18: two blocks of 64, 128, 256 and 512 channels each."""
    return _resnet(64, (64, 128, 256, 512), 2, in_channels, num_classes)


def resnet20(in_channels: int, num_classes: int) -> nn.Sequential:
    """ResNet-20: three blocks of 16, 32 and 64 channels each."""
    return _resnet(16, (16, 32, 64), 3, in_channels, num_classes)


def resnet56(in_channels: int, num_classes: int) -> nn.Sequential:
    """ResNet-56: nine blocks of 16, 32 and 64 channels each."""
    return _resnet(16, (16, 32, 64), 9, in_channels, num_classes)


def resnet8x4(in_channels: int, num_classes: int) -> nn.Sequential:
    """ResNet-8 with four times the channels: one block of 64, 128 and 256, after a stem of 32."""
    return _resnet(32, (64, 128, 256), 1, in_channels, num_classes)


def resnet32x4(in_channels: int, num_classes: int) -> nn.Sequential:
    """ResNet-32 with four times the channels: five blocks of 64, 128 and 256 each, after a stem of 32."""
    return _resnet(32, (64, 128, 256), 5, in_channels, num_classes)
