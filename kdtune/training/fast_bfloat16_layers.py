"""Layers that compute the same as torch's layers in bfloat16 on a CPU, and are faster.

A layer is replaced by changing its class, so the weights, their names and the saved files do not change:

- A bias before a batch normalisation is cancelled by the subtraction of the mean. In training, the convolution omits
  it, the running mean includes it, and its gradient is 0, as in exact arithmetic. In the first layer of MobileNetV2,
  oneDNN takes three times as long for the gradient of the bias as for everything else.
- With the channels last in memory, a 1x1 convolution is a matrix product, and is computed as one.
- oneDNN (as of torch 2.14) has no fast kernel for the input gradient of a strided depthwise convolution, which takes
  fifteen times as long as without a stride. It is computed without a stride, after inserting zeros into the gradient
  of the output.
- ReLU6 is slower in place than out of place.
- The gradient of a global average has the channels first in memory, which slows down all layers before it.

The functions with a gradient of their own are left out of passes without gradients. So such a pass can be derived in
forward mode, for which torch would require a further method of them, and then would not compile them.
"""

from itertools import pairwise
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812 - the customary name
from torch import nn


def make_lean(model: nn.Module, *, channels_last: bool) -> None:
    """Replace the layers of a network by those of this module, where there is one, in place.

    Args:
        model: Network that is trained and evaluated on a CPU under autocast to bfloat16.
        channels_last: Whether features have the channels last in memory. Only then are matrix products and the
            layout of the gradient of a global average faster.
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
                # Tuples, since torch would register a module as a submodule of the other.
                layer.following, following.preceding = (following,), (layer,)


def _centres(layer: nn.Module) -> bool:
    """Return whether a layer subtracts the mean of each channel and keeps a running mean."""
    return type(layer) is nn.BatchNorm2d and layer.track_running_stats and layer.momentum is not None


class _Convolution(nn.Conv2d):
    """A convolution that is a matrix product if possible, omits a cancelled bias, and has a fast gradient."""

    #: The batch normalisation that alone receives the output, if there is one.
    following: tuple[nn.BatchNorm2d, ...] = ()

    #: Whether features have the channels last in memory.
    channels_last = False

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Return the same as ``Conv2d``, apart from a bias that the batch normalisation cancels."""
        if self.bias is None or not any(norm.training for norm in self.following):
            return self._convolved(features, self.bias)
        convolved = self._convolved(features, None)
        if not torch.is_grad_enabled():
            return convolved
        without: torch.Tensor = _WithoutGradient.apply(convolved, self.bias)
        return without

    def _convolved(self, features: torch.Tensor, bias: torch.Tensor | None) -> torch.Tensor:
        weight = self.weight
        if self._is_product:
            of_pixels = features.permute(0, 2, 3, 1)
            return F.linear(of_pixels, weight.flatten(1), bias).permute(0, 3, 1, 2)
        if self._is_strided_depthwise and self.training and torch.is_grad_enabled():
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
    """A batch normalisation after a convolution that omits its bias in training."""

    preceding: tuple[_Convolution, ...]

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Return the same as ``BatchNorm2d``, and add the omitted bias to the running mean."""
        normalised = super().forward(features)
        bias = self.preceding[0].bias
        if self.training and self.running_mean is not None and bias is not None:
            # Uses .data, since autograd would reject a changed running mean although the gradient does not need it.
            self.running_mean.data.add_(bias.detach(), alpha=self.momentum)
        return normalised


class _AveragePool(nn.AdaptiveAvgPool2d):
    """A pooling whose gradient has the channels last in memory."""

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Return the same as ``AdaptiveAvgPool2d``."""
        return super().forward(_ChannelsLastGradient.apply(features) if torch.is_grad_enabled() else features)


class _ChannelsLastGradient(torch.autograd.Function):
    """The identity, whose gradient has the channels last in memory."""

    @staticmethod
    def forward(ctx: Any, features: torch.Tensor) -> torch.Tensor:
        return features.view_as(features)

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> torch.Tensor:
        return gradient.contiguous(memory_format=torch.channels_last)


class _WithoutGradient(torch.autograd.Function):
    """The identity on features, with a gradient of 0 for a weight on which they do not depend."""

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
    """Return the gradient of a depthwise convolution for its features (operand 0) or its weight (1)."""
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
    """Return the output gradient of the same convolution without stride, which is 0 at places that the stride skips."""
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
