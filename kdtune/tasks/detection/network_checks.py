"""Checks of detectors: their anchors, and what a training could not use of their output."""

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import torch

from kdtune.catalog.catalog import cause_of
from kdtune.errors import UsageError
from kdtune.models.building import build_network, build_without_values
from kdtune.models.output_check import BATCH, check_network
from kdtune.specs.component import Component
from kdtune.specs.data_info import DataInfo

#: Differences of coordinates in pixels that are rounding.
_ROUNDING = 1e-3

_CONTRACT = (
    "a detector has a method anchors(shape) that returns boxes of shape (anchors, 4), and puts out one row for an "
    "image: the logits of all anchors, background first, and then their offsets; see "
    "kdtune.tasks.detection.detectors.Detector"
)


def anchors_of(component: Component, shape: Sequence[int], classes: int) -> torch.Tensor:
    """Return the anchors of a detector: boxes in pixels, float32, (anchors, 4), on the CPU.

    Args:
        component: The network.
        shape: Channels, height and width of an image.
        classes: Number of classes of objects.

    Raises:
        UsageError: The network cannot be built or has no usable anchors.
    """
    return _kept_anchors(component.model_dump_json(), tuple(shape), classes)


@lru_cache(maxsize=32)
def _kept_anchors(component: str, shape: tuple[int, ...], classes: int) -> torch.Tensor:
    network = Component.model_validate_json(component)
    model = build_without_values(lambda: build_network(network, shape[0], classes))
    return _anchors(network, model, shape)


def _anchors(component: Component, model: torch.nn.Module, shape: Sequence[int]) -> torch.Tensor:
    get: Any = getattr(model, "anchors", None)
    if not callable(get):
        raise UsageError(f"model {component}: has no anchors, so it is no detector; {_CONTRACT}")
    try:
        found = get(tuple(shape))
    except Exception as error:
        raise UsageError(f"model {component}: anchors({tuple(shape)}) fails: {cause_of(error)}") from error
    if not isinstance(found, torch.Tensor) or found.ndim != 2 or found.shape[1] != 4 or not len(found):
        raise UsageError(f"model {component}: anchors({tuple(shape)}) returned {_described(found)}; {_CONTRACT}")
    if found.device.type == "meta":
        raise UsageError(
            f"model {component}: anchors({tuple(shape)}) are on torch's meta device, on which the network is built to "
            "learn its sizes; create them on the CPU, with device='cpu'"
        )
    found = found.detach().to("cpu", torch.float32)
    if not bool(found.isfinite().all()) or bool((found[:, 2:] <= found[:, :2]).any()):
        raise UsageError(f"model {component}: some of its anchors have no area; each is (left, top, right, bottom)")
    return found


def differing_anchors(
    teacher: Component, of_teacher: torch.Tensor, student: Component, of_student: torch.Tensor
) -> str | None:
    """Return why a student cannot learn from a teacher, anchor by anchor; None if it can."""
    if len(of_teacher) != len(of_student):
        difference = f"{len(of_teacher):,} and {len(of_student):,}"
    else:
        gaps = (of_teacher - of_student).abs().amax(dim=1)
        if float(gaps.max()) <= _ROUNDING:
            return None
        place = int((gaps > _ROUNDING).nonzero()[0])
        difference = f"anchor {place} is {_box(of_teacher[place])} and {_box(of_student[place])}"
    return (
        f"teacher {teacher} and student {student} have different anchors ({difference}), but the student's logits are "
        "compared with the teacher's anchor by anchor; choose networks with the same anchors, such as vgg16_ssd_3000 "
        "and ssdlite_mobilenet_v2, or give both the same options"
    )


def check_detector(component: Component, info: DataInfo) -> torch.nn.Module:
    """Build a detector and pass a batch of random images through it, in training mode and in evaluation mode.

    Torch's global random numbers are left as they were.

    Args:
        component: The network; see :func:`kdtune.models.building.build_network`.
        info: The data set.

    Returns:
        The network on the CPU, untrained and in evaluation mode.

    Raises:
        UsageError: The network cannot be built, fails, or its output does not fit its anchors.
    """
    anchors = len(anchors_of(component, info.shape, info.classes))
    wanted = (BATCH, anchors * (info.classes + 5))

    def problem_of(output: Any) -> str | None:
        if not isinstance(output, torch.Tensor) or tuple(output.shape) != wanted:
            return (
                f"its output is {_described(output)}; expected is {wanted} for {BATCH} images, {anchors:,} anchors and "
                f"{info.classes} classes: {_CONTRACT}"
            )
        if not bool(output.isfinite().all()):
            return "its output for random images is not finite (NaN or infinity), with untrained weights"
        return None

    return check_network(component, info, problem_of=problem_of)


def _box(anchor: torch.Tensor) -> str:
    return "(" + ", ".join(f"{one:.1f}" for one in anchor.tolist()) + ")"


def _described(value: Any) -> str:
    if isinstance(value, torch.Tensor):
        return f"a tensor of shape {tuple(value.shape)}"
    return f"a value of type {type(value).__name__}"
