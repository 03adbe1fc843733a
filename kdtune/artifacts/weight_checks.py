"""Weights that no network can have, named by their tensors before anything is spent on them."""

from collections.abc import Callable, Mapping

import torch

#: What batch normalisation calls the variance that it keeps.
_VARIANCE = "running_var"


def impossible_weights(given: Mapping[str, torch.Tensor], state: Mapping[str, torch.Tensor]) -> dict[str, list[str]]:
    """By what is wrong, in words that follow the tensors' names: the tensors.

    Args:
        given: As they were read.
        state: The same, and what else the network has, in the network's own types.
    """

    def where(is_wrong: Callable[[str, torch.Tensor], object]) -> list[str]:
        return [name for name, value in state.items() if is_wrong(name, value)]

    broken = where(lambda name, value: name in given and not torch.isfinite(given[name]).all())
    too_large = where(lambda name, value: name not in broken and not torch.isfinite(value).all())
    negative = where(lambda name, value: name.endswith(_VARIANCE) and (value < 0).any())
    found = {
        "holds what is no finite number; its training has diverged": broken,
        "holds numbers that float32 cannot hold": too_large,
        "holds variances below 0, which are none; the weights were changed or averaged wrongly": negative,
    }
    return {problem: names for problem, names in found.items() if names}


def largest_weight(state: Mapping[str, torch.Tensor]) -> tuple[str, float]:
    """The tensor with the greatest absolute value, and that value."""
    sizes = {name: float(value.abs().max()) for name, value in state.items() if value.numel()}
    name = max(sizes, key=lambda one: sizes[one])
    return name, sizes[name]
