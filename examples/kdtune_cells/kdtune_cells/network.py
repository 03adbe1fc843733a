"""A small convolutional network whose width is an option."""

import torch
from torch import nn


class CellNet(nn.Module):
    """Three convolutions, the average over the image, and a linear classifier."""

    def __init__(self, num_classes: int, in_channels: int, width: int = 4) -> None:
        """Create the network with untrained weights.

        Args:
            num_classes: Number of logits per image.
            in_channels: Channels of the images.
            width: Channels of the first convolution; the others have twice and four times as many.
        """
        super().__init__()
        widths = [in_channels, width, 2 * width, 4 * width]
        self.blocks = nn.Sequential(*(_block(before, after) for before, after in zip(widths, widths[1:], strict=False)))
        self.classifier = nn.Linear(widths[-1], num_classes)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Return the logits, (batch, num_classes), of images of shape (batch, in_channels, height, width)."""
        return self.classifier(self.blocks(images).mean(dim=(2, 3)))


def _block(before: int, after: int) -> nn.Sequential:
    convolution = nn.Conv2d(before, after, 3, padding=1, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(after), nn.ReLU(), nn.MaxPool2d(2))
