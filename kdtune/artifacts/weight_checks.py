"""Checks for invalid weights, which name the affected tensors before energy is spent."""

from collections.abc import Callable, Mapping, Set

import torch

#: Name of the variance in batch normalisation layers.
_VARIANCE = "running_var"


def impossible_weights(
    given: Mapping[str, torch.Tensor], state: Mapping[str, torch.Tensor], constants: Set[str]
) -> dict[str, list[str]]:
    """Return the names of invalid tensors by problem. Messages consist of the names followed by the problem.

    Args:
        given: Tensors as they were read.
        state: All tensors of the network, converted to the network's types.
        constants: Names of tensors that are not trained, such as masks of attention, which may contain infinities.
    """

    def is_finite(name: str, value: torch.Tensor) -> bool:
        return not bool((value.isnan() if name in constants else ~value.isfinite()).any())

    def where(is_wrong: Callable[[str, torch.Tensor], object]) -> list[str]:
        return [name for name, value in state.items() if is_wrong(name, value)]

    broken = where(lambda name, value: name in given and not is_finite(name, given[name]))
    too_large = where(lambda name, value: name not in broken and not is_finite(name, value))
    negative = where(lambda name, value: name.endswith(_VARIANCE) and (value < 0).any())
    found = {
        "contains values that are not finite numbers; its training has diverged": broken,
        "contains numbers that exceed float32's range": too_large,
        "contains negative variances; the weights were changed or averaged incorrectly": negative,
    }
    return {problem: names for problem, names in found.items() if names}


def largest_weight(state: Mapping[str, torch.Tensor]) -> tuple[str, float]:
    """Return the name of the tensor with the largest absolute value, and that value."""
    sizes = {name: float(value.abs().max()) for name, value in state.items() if value.numel()}
    name = max(sizes, key=lambda one: sizes[one])
    return name, sizes[name]
