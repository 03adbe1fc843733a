"""A frozen teacher whose batch statistics are compared with the running ones of its batch normalisation."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from kdtune.training.numerics import Arithmetic


def statistics_layers(model: nn.Module) -> list[nn.Module]:
    """Return the batch normalisations that keep running statistics, in the order of their registration."""
    kinds = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)
    return [one for one in model.modules() if isinstance(one, kinds) and one.running_mean is not None]


@dataclass(frozen=True)
class Response:
    """What a teacher returns for a batch of images.

    Attributes:
        logits: Float32, (n, classes).
        distance: Sum over batch normalisations of the distances of mean and variance from the running ones, 0-d.
        features: Mean of each input channel of every batch normalisation, float32, (n, channels of all layers); None
            unless they were asked for.
    """

    logits: torch.Tensor
    distance: torch.Tensor
    features: torch.Tensor | None = None


class InvertedNetwork:
    """A frozen network through which gradients flow back to its images.

    Attributes:
        model: The network, in inference mode and without gradients of its own.
        mean: Mean by which images are normalised, float32, (channels, 1, 1), with pixels from 0 to 1.
        std: Standard deviation, like ``mean``.
        arithmetic: Precision and memory layout.
    """

    def __init__(self, model: nn.Module, arithmetic: Arithmetic, mean: torch.Tensor, std: torch.Tensor) -> None:
        """Wrap a network.

        Args:
            model: Frozen network that was placed by ``arithmetic``.
            arithmetic: Precision and memory layout.
            mean: See the class.
            std: See the class.
        """
        self.model = model
        self.mean = mean
        self.std = std
        self.arithmetic = arithmetic
        self._layers = statistics_layers(model)
        self._distances: list[torch.Tensor] = []
        self._features: list[torch.Tensor] | None = None

    @property
    def device(self) -> torch.device:
        """Device of the network."""
        return self.mean.device

    @property
    def feature_size(self) -> int:
        """Number of features of an image."""
        return sum(len(layer.get_buffer("running_mean")) for layer in self._layers)

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Look at the inputs of the batch normalisations within the context, without copying them."""
        hooks = [layer.register_forward_pre_hook(self._look) for layer in self._layers]
        try:
            yield
        finally:
            for hook in hooks:
                hook.remove()

    def _look(self, layer: nn.Module, inputs: tuple[Any, ...]) -> None:
        features: torch.Tensor = inputs[0]
        mean, variance = _statistics(features)
        distance_of_mean = torch.linalg.vector_norm(layer.running_mean - mean)  # type: ignore[operator]
        distance_of_variance = torch.linalg.vector_norm(layer.running_var - variance)  # type: ignore[operator]
        self._distances += [distance_of_variance, distance_of_mean]
        if self._features is not None:
            self._features.append(features.float().flatten(2).mean(2) if features.dim() > 2 else features.float())

    def __call__(self, images: torch.Tensor, *, with_features: bool = False) -> Response:
        """Return logits and distance for normalised images, float32, (n, channels, height, width), with gradients.

        Call it within :meth:`watched`.
        """
        self._distances, self._features = [], [] if with_features else None
        logits = self.arithmetic.logits(self.model, images)
        distance = torch.stack(self._distances).sum() if self._distances else logits.new_zeros(())
        return Response(logits, distance, torch.cat(self._features, 1) if self._features else None)

    def normalised(self, images: torch.Tensor) -> torch.Tensor:
        """Return images with pixels from 0 to 1 as the network receives them."""
        return (images - self.mean) / self.std

    def pixels(self, images: torch.Tensor) -> torch.Tensor:
        """Return normalised images as uint8."""
        return ((images * self.std + self.mean).clamp(0, 1) * 255).round().to(torch.uint8)

    @property
    def range(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Normalised values of black and of white, float32, (channels, 1, 1) each."""
        return -self.mean / self.std, (1 - self.mean) / self.std

    @torch.no_grad()
    def classified(self, images: torch.Tensor) -> torch.Tensor:
        """Return the logits of uint8 images, float32, (n, classes)."""
        return self.arithmetic.logits(self.model, self.normalised(images.float() / 255))


def _statistics(features: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    mean, variance = _ChannelStatistics.apply(features)
    return mean, variance


class _ChannelStatistics(torch.autograd.Function):
    """Mean and biased variance of each channel in float32, with a gradient in one pass over the features."""

    @staticmethod
    def forward(ctx: Any, features: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        # The kernel of batch normalisation is much faster than var_mean(). Float32 weights make it return float32
        # statistics of bfloat16 features; without them they would be rounded.
        ones = torch.ones(features.shape[1], device=features.device)
        _, mean, inverse = torch.native_batch_norm(features, ones, torch.zeros_like(ones), None, None, True, 0.0, 0.0)
        ctx.save_for_backward(features, mean)
        return mean, inverse.pow(-2)

    @staticmethod
    def backward(ctx: Any, of_mean: torch.Tensor, of_variance: torch.Tensor) -> torch.Tensor:
        features, mean = ctx.saved_tensors
        count = features.numel() // features.shape[1]
        slope = of_variance * (2 / count)
        intercept = of_mean / count - slope * mean
        shape = 1, -1, *[1] * (features.dim() - 2)
        slope, intercept = (one.to(features.dtype).view(shape) for one in (slope, intercept))
        return torch.addcmul(intercept, features, slope)
