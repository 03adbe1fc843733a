"""Layers that compute what a network's own do, in bfloat16 on a CPU, and take less time.

They take the place of the network's own by their class, so weights, their names and what is saved stay as they are:

- A bias before a batch normalisation falls out again with the mean. So it is left out of the convolution in training,
  put into the running mean, and its gradient is nothing, as it is in exact arithmetic; in the first layer of
  MobileNetV2 summing it up takes oneDNN three times as long as all the rest.
- A convolution of 1x1 pixels is a product of matrices where the channels come last, and is computed as one.
- oneDNN (as of torch 2.14) has no fast kernel for the gradient that a strided depthwise convolution passes on: it takes
  fifteen times as long as without the stride. So it is computed without, what comes in set apart by zeros.
- ReLU6 in place is slower than beside it.
- The gradient of a global average comes with the channels first, and everything before it is slow with it.
"""

from itertools import pairwise
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812 - the customary name
from torch import nn


def make_lean(model: nn.Module, *, channels_last: bool) -> None:
    """Let a network's layers be those of this module where they have one, in place.

    Args:
        model: Trained and evaluated on a CPU under autocast to bfloat16.
        channels_last: Whether features lie so in memory; only then are the second and the last any faster.
    """
    for module in model.modules():
        if type(module) is nn.Conv2d:
            module.__class__ = _Convolution
            assert isinstance(module, _Convolution)
            module.channels_last = channels_last
        elif type(module) is nn.ReLU6:
            module.inplace = False
        elif type(module) is nn.AdaptiveAvgPool2d and channels_last:
            module.__class__ = _AveragePool
    for module in model.modules():
        is_a_chain = isinstance(module, nn.Sequential) and type(module).forward is nn.Sequential.forward
        for layer, following in pairwise(module.children()) if is_a_chain else ():
            if isinstance(layer, _Convolution) and _centres(following) and layer.bias is not None:
                following.__class__ = _AfterBias
                assert isinstance(following, _AfterBias)
                # In tuples, or each would be taken for a part of the other.
                layer.following, following.preceding = (following,), (layer,)


def _centres(layer: nn.Module) -> bool:
    """Whether what a layer adds to all pixels of a channel falls out behind it, and into a running mean."""
    return type(layer) is nn.BatchNorm2d and layer.track_running_stats and layer.momentum is not None


class _Convolution(nn.Conv2d):
    """A product of matrices where it can be one, without bias where that falls out, with a quick gradient."""

    #: The batch normalisation that is all that sees what comes out, where there is one.
    following: tuple[nn.BatchNorm2d, ...] = ()

    #: How features lie in memory.
    channels_last = False

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """As any convolution's."""
        if self.bias is None or not any(norm.training for norm in self.following):
            return self._convolved(features, self.bias)
        without: torch.Tensor = _WithoutGradient.apply(self._convolved(features, None), self.bias)
        return without

    def _convolved(self, features: torch.Tensor, bias: torch.Tensor | None) -> torch.Tensor:
        weight = self.weight
        if self._is_product:
            of_pixels = features.permute(0, 2, 3, 1)
            return F.linear(of_pixels, weight.flatten(1), bias).permute(0, 3, 1, 2)
        if self._is_strided_depthwise and self.training:
            is_cast = torch.is_autocast_enabled("cpu")
            dtype = torch.get_autocast_dtype("cpu") if is_cast else features.dtype
            kept: torch.Tensor = _StridedDepthwise.apply(
                features.to(dtype), weight.to(dtype), self.stride, self.padding
            )
            return kept if bias is None else kept + bias.to(dtype).view(-1, 1, 1)
        return self._conv_forward(features, weight, bias)

    @property
    def _is_product(self) -> bool:
        at_each_pixel = self.kernel_size == (1, 1) and self.stride == (1, 1) and self.padding == (0, 0)
        return self.channels_last and at_each_pixel and self.groups == 1

    @property
    def _is_strided_depthwise(self) -> bool:
        plain = self.dilation == (1, 1) and self.padding_mode == "zeros" and not isinstance(self.padding, str)
        return plain and self.groups == self.in_channels == self.out_channels and max(self.stride) > 1


class _AfterBias(nn.BatchNorm2d):
    """Behind a convolution that leaves its bias out in training."""

    preceding: tuple[_Convolution, ...]

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """As any batch normalisation's."""
        normalised = super().forward(features)
        bias = self.preceding[0].bias
        if self.training and self.running_mean is not None and bias is not None:
            # By .data: the gradient has no use for the running mean, but would find it changed.
            self.running_mean.data.add_(bias.detach(), alpha=self.momentum)
        return normalised


class _AveragePool(nn.AdaptiveAvgPool2d):
    """Hands its gradient on with the channels last."""

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """As any pooling's."""
        return super().forward(_ChannelsLastGradient.apply(features))


class _ChannelsLastGradient(torch.autograd.Function):
    """Lets features pass, and their gradient with the channels last."""

    @staticmethod
    def forward(ctx: Any, features: torch.Tensor) -> torch.Tensor:
        return features.view_as(features)

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> torch.Tensor:
        return gradient.contiguous(memory_format=torch.channels_last)


class _WithoutGradient(torch.autograd.Function):
    """Lets features pass beside a weight that they do not depend on, whose gradient is 0."""

    @staticmethod
    def forward(ctx: Any, features: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
        ctx.save_for_backward(bias)
        return features.view_as(features)

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        (bias,) = ctx.saved_tensors
        return gradient, torch.zeros_like(bias)


class _StridedDepthwise(torch.autograd.Function):
    """A depthwise convolution with a stride, without bias."""

    @staticmethod
    def forward(
        ctx: Any, features: torch.Tensor, weight: torch.Tensor, stride: tuple[int, int], padding: tuple[int, int]
    ) -> torch.Tensor:
        ctx.save_for_backward(features, weight)
        ctx.stride, ctx.padding = stride, padding
        return F.conv2d(features, weight, None, stride, padding, groups=len(weight))

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor | None, torch.Tensor | None, None, None]:
        features, weight = ctx.saved_tensors
        wants_features, wants_weight = ctx.needs_input_grad[:2]
        of_features = of_weight = None
        if wants_weight:
            of_weight = _gradient(1, gradient, features, weight, ctx.stride, ctx.padding)
        if wants_features:
            apart = _set_apart(gradient, features, weight, ctx.stride, ctx.padding)
            of_features = _gradient(0, apart, features, weight, (1, 1), ctx.padding)
        return of_features, of_weight, None, None


def _gradient(
    operand: int,
    gradient: torch.Tensor,
    features: torch.Tensor,
    weight: torch.Tensor,
    stride: tuple[int, int],
    padding: tuple[int, int],
) -> torch.Tensor:
    """What a depthwise convolution passes on to its features (operand 0) or to its weight (1)."""
    wanted = [operand == 0, operand == 1, False]
    found: torch.Tensor = torch.ops.aten.convolution_backward(
        gradient, features, weight, None, stride, padding, (1, 1), False, (0, 0), len(weight), wanted
    )[operand]
    return found


def _set_apart(
    gradient: torch.Tensor,
    features: torch.Tensor,
    weight: torch.Tensor,
    stride: tuple[int, int],
    padding: tuple[int, int],
) -> torch.Tensor:
    """The gradient of the same convolution without stride, 0 wherever the stride leaves a place out."""
    height, width = (
        size + 2 * pad - kernel + 1
        for size, pad, kernel in zip(features.shape[2:], padding, weight.shape[2:], strict=True)
    )
    layout = (
        torch.channels_last if features.is_contiguous(memory_format=torch.channels_last) else torch.contiguous_format
    )
    apart = torch.empty((*gradient.shape[:2], height, width), dtype=gradient.dtype, memory_format=layout).zero_()
    apart[:, :, :: stride[0], :: stride[1]] = gradient
    return apart
