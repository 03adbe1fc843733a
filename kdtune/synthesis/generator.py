"""The generator of CMI, from vectors to images."""

import torch
import torch.nn.functional as F  # noqa: N812 - the usual name
from torch import nn


class Generator(nn.Module):
    """A linear layer and three convolutions, between which the map doubles twice.

    For images of 32 x 32 in colour, 256 inputs and a width of 64 it has 2,328,899 parameters.
    """

    def __init__(self, inputs: int, width: int, shape: tuple[int, int, int]) -> None:
        """Build the generator.

        Args:
            inputs: Size of a vector.
            width: Channels before the last convolution; there are twice as many before.
            shape: Channels, height and width of an image.
        """
        super().__init__()
        channels, *self._size = shape
        self._first = [-(-side // 4) for side in self._size]
        self.linear = nn.Linear(inputs, 2 * width * self._first[0] * self._first[1])
        self.norm = nn.BatchNorm2d(2 * width)
        self.widen = nn.Sequential(
            nn.Conv2d(2 * width, 2 * width, 3, padding=1, bias=False), nn.BatchNorm2d(2 * width), nn.LeakyReLU(0.2)
        )
        self.refine = nn.Sequential(
            nn.Conv2d(2 * width, width, 3, padding=1, bias=False), nn.BatchNorm2d(width), nn.LeakyReLU(0.2)
        )
        self.paint = nn.Conv2d(width, channels, 3, padding=1)

    def draw_weights(self, generator: torch.Generator) -> None:
        """Draw all weights anew, on the CPU: layers from N(0, 0.02), normalisation from N(1, 0.02), no biases."""
        with torch.no_grad():
            for module in self.modules():
                if isinstance(module, nn.BatchNorm2d | nn.Conv2d | nn.Linear):
                    is_norm = isinstance(module, nn.BatchNorm2d)
                    drawn = torch.randn(module.weight.shape, generator=generator) * 0.02 + float(is_norm)
                    module.weight.copy_(drawn)
                    if module.bias is not None:
                        module.bias.zero_()

    def forward(self, vectors: torch.Tensor) -> torch.Tensor:
        """Return images, (n, channels, height, width), with pixels from 0 to 1."""
        features = self.norm(self.linear(vectors).view(len(vectors), -1, *self._first))
        features = self.widen(F.interpolate(features, scale_factor=2.0))
        features = self.refine(F.interpolate(features, size=self._size))
        return torch.sigmoid(self.paint(features))

    def macs(self) -> int:
        """Return the multiply-adds of a pass for one image, without normalisation."""
        first, second = 4 * self._first[0] * self._first[1], self._size[0] * self._size[1]
        layers = ((self.widen[0], first), (self.refine[0], second), (self.paint, second))
        convolved = sum(layer.weight.numel() * pixels for layer, pixels in layers)  # type: ignore[operator, misc]
        return int(self.linear.weight.numel() + convolved)
