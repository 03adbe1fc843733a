"""What conformance suites check of gradients."""

from collections.abc import Callable

import pytest
import torch


def check_gradient(value: Callable[[torch.Tensor], torch.Tensor], logits: torch.Tensor) -> None:
    """Fail unless the gradient of a function equals finite differences.

    Args:
        value: Function from logits to a 0-d tensor.
        logits: Logits of the student, float64, with gradient.
    """
    try:
        torch.autograd.gradcheck(value, (logits,))
    except RuntimeError as error:
        pytest.fail(
            "the gradient with respect to the student's logits is not the numerical one; a part of the loss or of tau "
            f"is detached, rounded to float32, or random: {error}"
        )


def leaves(*tensors: torch.Tensor) -> list[torch.Tensor]:
    """Return all tensors with respect to which the given ones have a gradient."""
    found = [tensor for tensor in tensors if tensor.is_leaf and tensor.requires_grad]
    nodes, seen = [tensor.grad_fn for tensor in tensors if tensor.grad_fn is not None], set()
    while nodes:
        node = nodes.pop()
        if node not in seen:
            seen.add(node)
            if hasattr(node, "variable"):
                found.append(node.variable)
            nodes += [following for following, _ in node.next_functions if following is not None]
    return found
