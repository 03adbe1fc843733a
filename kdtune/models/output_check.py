"""Passes two images through a network and names what a training could not use of its output."""

from collections.abc import Callable
from functools import partial
from typing import Any

import torch

from kdtune.catalog.catalog import cause_of
from kdtune.errors import UsageError
from kdtune.models.building import accepts_channels, build_network, build_without_values
from kdtune.specs.component import Component
from kdtune.specs.data_info import DataInfo

#: Images of the batch: the fewest with which every batch normalisation can be trained.
BATCH = 2

#: Image sizes at which a network is tried that fails at the size of the data set.
_SIZES = (16, 32, 48, 64, 80, 96, 112, 128, 160, 192, 224, 256, 299, 320, 384, 448, 512)


def check_network(
    component: Component,
    info: DataInfo,
    build: Callable[[], torch.nn.Module] | None = None,
    outputs: int | None = None,
    problem_of: Callable[[Any], str | None] | None = None,
) -> torch.nn.Module:
    """Build a network and pass a batch of random images through it, in training mode and in evaluation mode.

    Torch's global random numbers are left as they were.

    Args:
        component: The network; see :func:`kdtune.models.building.build_network`.
        info: The data set.
        build: Builds the network for a task other than classification.
        outputs: Number of outputs for an image under that task; None for one logit for each class.
        problem_of: Returns what is wrong with the output for a batch under that task, in place of ``outputs``.

    Returns:
        The network on the CPU, untrained and in evaluation mode.

    Raises:
        UsageError: The network cannot be built, fails, or its output is no logits of shape (batch, num_classes).
    """
    if problem_of is None:
        problem_of = partial(_output_problem, classes=outputs or info.classes, is_logits=outputs is None)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = build() if build else build_network(component, info.shape[0], info.classes)
        _check_placement(component, network)
        images = torch.randn(BATCH, *info.shape)
        for mode in ("training", "evaluation"):
            network.train(mode == "training")
            try:
                output = network(images)
            except (Exception, SystemExit) as error:
                reason = f"fails for images of {_by(info.shape)} in {mode} mode: {cause_of(error)}"
                raise UsageError(f"model {component}: {reason}{_remedy(component, info, mode)}") from error
            if problem := problem_of(output):
                raise UsageError(f"model {component}: in {mode} mode {problem}")
            if mode == "training" and not output.requires_grad:
                raise UsageError(
                    f"model {component}: its output has no gradient, so that it cannot be trained; remove detach(), "
                    "torch.no_grad() and the like from its forward()"
                )
    return network


def _check_placement(component: Component, network: torch.nn.Module) -> None:
    """Refuse a network whose weights are of another type or on another device than those of a new network."""
    for name, weight in network.named_parameters():
        if weight.device.type != "cpu":
            raise UsageError(
                f"model {component}: its weight {name} is on the device {weight.device}; build it on the CPU, from "
                "where kdtune moves it"
            )
        if weight.dtype in (torch.float64, torch.float16, torch.bfloat16):
            raise UsageError(
                f"model {component}: its weight {name} is {weight.dtype}; build it in float32: the precision of a "
                "training is numerics.precision of the study"
            )


def _output_problem(output: Any, classes: int, *, is_logits: bool = True) -> str | None:
    """Return what is wrong with the output for a batch; None if nothing is."""
    wanted = f"expected are logits of shape ({BATCH}, {classes}) for {BATCH} images and {classes} classes"
    if not is_logits:
        wanted = f"expected are {classes} outputs for each image, of shape ({BATCH}, {classes})"
    if not isinstance(output, torch.Tensor):
        return f"its output is {_described(output)}; {wanted}: return {'the logits' if is_logits else 'them'} alone"
    shape = tuple(output.shape)
    if shape != (BATCH, classes):
        return f"its output has the shape {shape}; {wanted}{_likely_cause(shape, classes) if is_logits else ''}"
    if not output.is_floating_point():
        return f"its output is of the type {output.dtype}; {wanted}, not the predicted class"
    if not output.isfinite().all():
        return "its output for random images is not finite (NaN or infinity), with untrained weights"
    if not is_logits:
        return None
    rows = output.detach().double()
    for name, values in (("probabilities", rows), ("logarithms of probabilities", rows.exp())):
        if bool((values >= 0).all()) and torch.allclose(values.sum(1), torch.ones(BATCH).double(), atol=1e-4):
            layer = "softmax" if name == "probabilities" else "log_softmax"
            return f"its output is {name}, which sum to 1; {wanted}: remove the {layer} at its end"
    return None


def _likely_cause(shape: tuple[int, ...], classes: int) -> str:
    if len(shape) > 2:
        return ": these look like features; end with pooling, flatten(1) and a linear layer"
    if len(shape) == 2 and shape[0] == BATCH:
        return f": its last layer has to have num_classes={classes} outputs"
    return ": the first dimension has to be the batch"


def _described(output: Any) -> str:
    if isinstance(output, dict):
        return f"a {type(output).__name__} with the keys {', '.join(map(str, output))}"
    if isinstance(output, (tuple, list)):
        return f"a {type(output).__name__} of {len(output)} values"
    return f"a {type(output).__name__}"


def _remedy(component: Component, info: DataInfo, mode: str) -> str:
    """Return what follows from trying other numbers of channels and sizes; empty if nothing does."""
    channels, *size = info.shape
    if channels != 3 and not accepts_channels(component):
        return f"; it does not accept in_channels and the images have {channels}: let it accept in_channels"
    network = build_without_values(lambda: build_network(component, channels, info.classes))
    network.train(mode == "training")

    def runs(pixels: int) -> bool:
        try:
            with torch.device("meta"):
                network(torch.zeros(BATCH, channels, pixels, pixels))
        except (Exception, SystemExit):  # whatever a network raises for a size that it does not accept
            return False
        return True

    if runs(max(size)):  # it fails because of values
        return ""
    works = next((pixels for pixels in _SIZES if pixels > max(size) and runs(pixels)), None)
    if works is None:
        smaller = next((pixels for pixels in reversed(_SIZES) if pixels < max(size) and runs(pixels)), None)
        return (
            f"; it accepts images of {_by((smaller, smaller))} pixels: set the data set's image_size" if smaller else ""
        )
    low, high = max(size), works
    while high - low > 1:  # the smallest size, by bisection
        middle = (low + high) // 2
        low, high = (low, middle) if runs(middle) else (middle, high)
    return (
        f"; the smallest images that it accepts have {_by((high, high))} pixels: give the data set a larger image_size"
    )


def _by(shape: tuple[int, ...]) -> str:
    return " x ".join(map(str, shape))
