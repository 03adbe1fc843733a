"""Counts the multiply-adds of networks, and names the operators that the count leaves out."""

import logging
import re
import warnings
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode

from kdtune.catalog.catalog import cause_of
from kdtune.energy.logger_levels import level_of
from kdtune.errors import UsageError

#: Operators whose cost is a small multiple of the number of values, which is little beside that of convolutions and
#: matrix products: functions of single values, reductions, normalisation, pooling, and changes of shape. The names lack
#: the underscores at their ends. Any other operator is named if it is not counted.
_CHEAP = """
abs adaptive_avg_pool2d adaptive_max_pool2d add addcdiv addcmul alias all amax amin and any arange argmax argmin
as_strided avg_pool2d batch_norm bernoulli bitwise_and bitwise_not bitwise_or broadcast_tensors cat ceil celu
channel_shuffle clamp clamp_max clamp_min clone complex constant_pad_nd contiguous copy cos cudnn_batch_norm cumsum
detach diagonal div dropout elu embedding empty empty_like eq erf exp expand expand_as expm1 eye fill flatten flip
floor floor_divide frobenius_norm full full_like gather ge gelu group_norm gt hardsigmoid hardswish hardtanh im2col
imag index index_put index_select layer_norm le leaky_relu linalg_norm linalg_vector_norm linspace log log1p
log_sigmoid log_softmax logical_and logical_not logical_or logsumexp lt masked_fill max max_pool2d
max_pool2d_with_indices maximum mean meshgrid min minimum mish moveaxis movedim mul narrow native_batch_norm
native_batch_norm_legit native_batch_norm_legit_no_training native_channel_shuffle native_dropout native_group_norm
native_layer_norm ne neg new_empty new_full new_ones new_zeros norm ones ones_like or pad permute pixel_shuffle
pixel_unshuffle pow prelu prod rand rand_like real reciprocal reflection_pad2d relu relu6 remainder repeat
repeat_interleave replication_pad2d reshape reshape_alias resolve_conj rms_norm roll round rrelu rsqrt rsub
safe_softmax scalar_tensor select selu sigmoid sign silu sin slice softmax softplus split split_with_sizes sqrt square
squeeze stack std std_mean sub sum swapaxes t tanh tensor threshold to to_copy topk transpose tril triu type_as unbind
unflatten unfold unsafe_split unsafe_view unsqueeze upsample_nearest2d var var_mean view view_as view_as_complex
view_as_real where xor zero zeros zeros_like
"""


@dataclass(frozen=True)
class OperationCount:
    """The operations of one forward pass for one image.

    Attributes:
        macs: Multiply-adds.
        uncounted: Names of the operators that count as 0 although they may cost much, in alphabetical order.
    """

    macs: int
    uncounted: tuple[str, ...] = ()


def count_operations(
    model: torch.nn.Module, channels: int, height: int, width: int, name: str = "of the study"
) -> OperationCount:
    """Count the operations of a forward pass with fvcore, or with torch if fvcore cannot follow the network.

    fvcore traces the network, which not every network allows. torch's counter runs it; unlike fvcore, it does not count
    normalisation and pooling, which amount to a few per cent.

    Args:
        model: The network; its training mode is restored afterwards.
        channels: Channels of the image.
        height: Height of the image in pixels.
        width: Width of the image in pixels.
        name: Name of the network, for messages.

    Raises:
        UsageError: Neither of them can count the network's operations.
    """
    was_training = model.training
    image = torch.zeros(1, channels, height, width, device=next(model.parameters()).device)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch.jit.trace, which fvcore uses, warns about itself
            return _counted(model.eval(), image)
    except Exception as error:  # whatever a network raises where it runs in an unusual way
        raise UsageError(
            f"model {name}: its multiply-adds cannot be counted ({cause_of(error)}); in evaluation mode its forward() "
            "has to accept a single image and to run under torch.utils.flop_counter.FlopCounterMode"
        ) from error
    finally:
        model.train(was_training)


def _counted(model: torch.nn.Module, image: torch.Tensor) -> OperationCount:
    from fvcore.nn import FlopCountAnalysis

    try:
        with level_of("fvcore", logging.ERROR):
            count = FlopCountAnalysis(model, image).unsupported_ops_warnings(False).uncalled_modules_warnings(False)
            return OperationCount(int(count.total()), _costly(count.unsupported_ops()))
    except Exception:  # the tracer has no error of its own
        return _counted_by_torch(model, image)


def _counted_by_torch(model: torch.nn.Module, image: torch.Tensor) -> OperationCount:
    from torch.utils.flop_counter import FlopCounterMode  # imports Triton, which takes a fifth of a second

    with _Operators() as operators, FlopCounterMode(display=False) as counter:
        model(image)
    flops = counter.get_flop_counts().get("Global", {})
    counted = {str(one) for one in flops}
    return OperationCount(sum(flops.values()) // 2, _costly(operators.names - counted))


class _Operators(TorchDispatchMode):
    """Collects the names of the operators that run."""

    def __init__(self) -> None:
        super().__init__()
        self.names: set[str] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.names.add(str(func.overloadpacket))
        return func(*args, **(kwargs or {}))


def _costly(operators: Iterable[str]) -> tuple[str, ...]:
    """Return the plain names of operators such as ``aten::fft_fft2`` or ``aten.mm``, without the cheap ones."""
    names = {re.split(r"::|\.", one)[-1].strip("_") for one in operators}
    return tuple(sorted(names.difference(_CHEAP.split())))
