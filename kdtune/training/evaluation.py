"""Passes of a network over one part of the data, for its evaluation."""

from collections.abc import Iterator
from typing import Any

import torch

from kdtune.data.batches import ImageSet
from kdtune.training.captured_passes import CapturedLogits
from kdtune.training.numerics import Arithmetic


@torch.no_grad()
def outputs_of(
    model: torch.nn.Module,
    part: ImageSet,
    arithmetic: Arithmetic | None = None,
    captured: CapturedLogits | None = None,
) -> Iterator[tuple[torch.Tensor, Any]]:
    """Yield a network's outputs and the targets, one batch after the other.

    The normalisation layers are in inference mode meanwhile; the mode is restored at the end.

    Args:
        model: From images to outputs.
        part: The images and their targets.
        arithmetic: Precision and memory layout; None for float32, contiguous.
        captured: Gives the network's outputs from graphs for the part's ``pass_size``; None computes them.
    """
    was_training = model.training
    model.eval()
    if captured is not None:
        batches = torch.arange(len(part), device=part.labels.device).split(part.pass_size)
        for outputs, index in zip(captured.of_all().split(part.pass_size), batches, strict=True):
            yield outputs, part.targets(index, None)
    else:
        arithmetic = arithmetic or Arithmetic(part.images.device)
        for images, targets in part.in_order(part.pass_size):
            yield arithmetic.logits(model, images), targets
    model.train(was_training)
