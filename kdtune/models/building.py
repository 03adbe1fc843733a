"""Builds networks, built-in ones and users' own."""

import inspect
from collections.abc import Callable
from typing import Any

import torch
from torch.nn.parameter import UninitializedParameter
from torch.overrides import TorchFunctionMode

from kdtune.catalog.builtin import MODELS
from kdtune.catalog.catalog import cause_of
from kdtune.catalog.spelling import known_options
from kdtune.errors import UsageError
from kdtune.specs.component import Component

#: Arguments that every network is built with, as far as it accepts them.
_SIZES = ("num_classes", "in_channels")


def build_network(component: Component, in_channels: int, num_classes: int) -> torch.nn.Module:
    """Build a network with untrained weights.

    Args:
        component: The network: a function or class that accepts ``num_classes``, and ``in_channels`` unless it is for
            colour images only, and the component's options.
        in_channels: Channels of the images.
        num_classes: Number of logits per image.

    Returns:
        A network from images of shape (batch, in_channels, height, width) to logits of shape (batch, num_classes).

    Raises:
        UsageError: The network's function does not accept the arguments, fails, or returns no ``torch.nn.Module``; or
            the network's weights have no shape yet, or there are none.
    """
    build = MODELS.load(component.name, component.digest)
    if component.name in MODELS and not component.options:
        network: torch.nn.Module = build(in_channels=in_channels, num_classes=num_classes)
        return network
    arguments = _accepted(component, build, {"num_classes": num_classes, "in_channels": in_channels})
    try:
        made = build(**arguments)
    except (Exception, SystemExit) as error:
        reason = cause_of(error)
        raise UsageError(f"model {component}: cannot be built with {_written(arguments)}: {reason}") from error
    if not isinstance(made, torch.nn.Module):
        raise UsageError(
            f"model {component}: has to return a torch.nn.Module, but {component.name} returned a "
            f"{type(made).__name__}; name the function or class that builds the network"
        )
    _check_weights(component, made)
    return made


def build_without_values(build: Callable[[], torch.nn.Module]) -> torch.nn.Module:
    """Build a network on the ``meta`` device: it has shapes alone, and its passes compute nothing.

    A network whose function needs values is built on the CPU and moved. Torch's global random state is not changed.

    Args:
        build: Builds the network; see :func:`build_network`.

    Raises:
        UsageError: As :func:`build_network`.
    """
    with torch.random.fork_rng(devices=[]):
        try:
            with torch.device("meta"), _Unfilled():
                return build()
        except UsageError:
            return build().to("meta")


class _Unfilled(TorchFunctionMode):
    """Leaves out the initialisation of tensors without values, which torch checks at length for nothing."""

    _FILLS = (torch.Tensor.normal_, torch.Tensor.uniform_, torch.Tensor.fill_, torch.Tensor.zero_)

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func in self._FILLS and args and args[0].is_meta:
            return args[0]
        return func(*args, **(kwargs or {}))


def accepts_channels(component: Component) -> bool:
    """Return whether a network's function accepts ``in_channels``; if not, it is for colour images only."""
    try:
        parameters = inspect.signature(MODELS.load(component.name, component.digest)).parameters
    except ValueError:
        return True
    return "in_channels" in parameters or any(one.kind is one.VAR_KEYWORD for one in parameters.values())


def check_options(component: Component) -> None:
    """Check the options of a network without building it, so that the sizes of its input and output need not be known.

    Raises:
        UsageError: It cannot be loaded, is no function or class that builds a network, or does not have an option.
    """
    build = MODELS.load(component.name, component.digest)
    if component.name not in MODELS or component.options:
        _accepted(component, build, {})


def _check_weights(component: Component, network: torch.nn.Module) -> None:
    """Raise a UsageError if a network has no weights, or some whose shapes the first batch is to determine."""
    for name, module in network.named_modules():
        if any(isinstance(weight, UninitializedParameter) for weight in module.parameters(recurse=False)):
            raise UsageError(
                f"model {component}: the layer {name or 'itself'} is a {type(module).__name__}, whose shape is unknown "
                f"before the first batch; use {type(module).__name__.removeprefix('Lazy')} with the sizes given, or "
                "pass an image through the network before returning it"
            )
    if next(network.parameters(), None) is None:
        raise UsageError(f"model {component}: has no parameters to train; register its layers as attributes")


def _accepted(component: Component, build: Any, sizes: dict[str, int]) -> dict[str, Any]:
    """Return the arguments for a network's function.

    Raises:
        UsageError: It does not accept the number of classes, or an option.
    """
    if isinstance(build, torch.nn.Module):
        raise UsageError(
            f"model {component}: {component.name} is a network that has been built already; name the function or class "
            "that builds it, so that every training begins with weights of its own"
        )
    if not callable(build):
        raise UsageError(f"model {component}: {component.name} is not a function or class that builds a network")
    try:
        parameters = inspect.signature(build).parameters
    except ValueError:  # of a compiled function nothing is known
        return {**sizes, **component.options}
    takes_any = any(one.kind is one.VAR_KEYWORD for one in parameters.values())
    if taken := [key for key in _SIZES if key in component.options]:
        raise UsageError(f"model {component}: {taken[0]} is no option: it follows from the data set; remove it")
    unknown = [key for key in component.options if key not in parameters and not takes_any]
    if unknown:
        known = known_options(name for name in parameters if name not in _SIZES)
        raise UsageError(f"model {component}: {unknown[0]} is no option of {component.name}; {known}")
    if "num_classes" not in parameters and not takes_any:
        raise UsageError(
            f"model {component}: {component.name} does not accept num_classes; define it as "
            "fn(num_classes, in_channels, **options)"
        )
    needed = [
        name
        for name, one in parameters.items()
        if one.default is one.empty and one.kind in (one.POSITIONAL_OR_KEYWORD, one.KEYWORD_ONLY)
    ]
    if missing := [name for name in needed if name not in _SIZES and name not in component.options]:
        values = ", ".join(f"{name} = ..." for name in missing)
        raise UsageError(
            f"model {component}: {component.name} needs {', '.join(missing)}; write "
            f'{{ ref = "{component.name}", {values} }}'
        )
    given = {key: value for key, value in sizes.items() if takes_any or key in parameters}
    return {**given, **component.options}


def _written(arguments: dict[str, Any]) -> str:
    return ", ".join(f"{key}={value!r}" for key, value in arguments.items())
