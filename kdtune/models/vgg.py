"""VGG with batch normalisation for small images.

Simonyan and Zisserman, "Very Deep Convolutional Networks for Large-Scale Image Recognition" (2015), in the variant of
Tian, Krishnan and Isola, "Contrastive Representation Distillation" (2020): five stages of 3x3 convolutions with bias,
the first three followed by max-pooling, then the global average and one linear layer. The ImageNet variant has
max-pooling after each stage and three linear layers, the first on 7x7 pixels. The code of Tian et al. pools a fourth
time for images of 64x64; here the layers are the same for every image size.

Convolutions are initialised as in He et al. (2015), the linear layer with standard deviation 0.01 and bias 0.
"""

from torch import nn
from torchvision.ops.misc import Conv2dNormActivation

from kdtune.models.initialise import he_normal

WIDTHS = (64, 128, 256, 512, 512)
POOLED_STAGES = 3


def _vgg(convolutions: int, in_channels: int, num_classes: int) -> nn.Sequential:
    """Build five stages with the same number of convolutions, global average and linear layer.

    Args:
        convolutions: Number of convolutions per stage.
        in_channels: Channels of the images.
        num_classes: Number of logits per image.

    Returns:
        A network from images of shape (batch, in_channels, height, width) to logits of shape (batch, num_classes).
    """
    layers: list[nn.Module] = []
    width_in = in_channels
    for stage, width in enumerate(WIDTHS):
        for _ in range(convolutions):
            layers.append(Conv2dNormActivation(width_in, width, 3, bias=True))
            width_in = width
        if stage < POOLED_STAGES:
            layers.append(nn.MaxPool2d(2))
    classifier = nn.Linear(width_in, num_classes)
    nn.init.normal_(classifier.weight, std=0.01)
    nn.init.zeros_(classifier.bias)
    return he_normal(nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), classifier))


def vgg8(in_channels: int, num_classes: int) -> nn.Sequential:
    """Build VGG-8: one convolution of 64, 128, 256, 512 and 512 channels each."""
    return _vgg(1, in_channels, num_classes)


def vgg13(in_channels: int, num_classes: int) -> nn.Sequential:
    """Build VGG-13: two convolutions of 64, 128, 256, 512 and 512 channels each."""
    return _vgg(2, in_channels, num_classes)
