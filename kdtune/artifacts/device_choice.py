"""The device of a training."""

from collections.abc import Sequence

import torch

from kdtune.errors import KdtuneError


def pick_device(gpus: float, indices: Sequence[int] = (0,)) -> torch.device:
    """Return the assigned GPU, or the CPU.

    Args:
        gpus: Number of assigned GPUs, or the share of one.
        indices: Indices of the assigned GPUs, as torch counts them.

    Raises:
        KdtuneError: Several GPUs were assigned, or one that torch cannot use.
    """
    if gpus <= 0:
        return torch.device("cpu")
    if gpus > 1:  # the others would be held and charged for nothing
        raise KdtuneError(f"a trial was given {gpus:g} GPUs, but a training uses only one; give each trial at most 1")
    if not torch.cuda.is_available():
        raise KdtuneError(
            "a GPU was assigned, but this torch cannot use it; see 'kdtune doctor', or give --gpus-per-trial 0"
        )
    return torch.device("cuda", indices[0])
