"""Adapts networks for colour images to other numbers of channels."""

from torch import nn


def replace_first_convolution(network: nn.Module, in_channels: int) -> None:
    """Replace the first convolution of a network by one for images of other channels, in place.

    Args:
        network: A network whose images pass through the convolution that it defines first.
        in_channels: Channels of the images.
    """
    name, first = next((name, one) for name, one in network.named_modules() if isinstance(one, nn.Conv2d))
    parent, _, attribute = name.rpartition(".")
    replacement = nn.Conv2d(
        in_channels,
        first.out_channels,
        kernel_size=_pair(first.kernel_size),
        stride=_pair(first.stride),
        padding=first.padding if isinstance(first.padding, str) else _pair(first.padding),
        bias=first.bias is not None,
    )
    setattr(network.get_submodule(parent), attribute, replacement.to(first.weight.device))


def _pair(value: tuple[int, ...]) -> tuple[int, int]:
    return value[0], value[1]
