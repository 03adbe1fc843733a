"""Optimisers and learning rates of a recipe."""

from collections.abc import Iterable, Mapping
from inspect import unwrap
from typing import Any

import torch

from kdtune.specs.training import Training


class _Eager:
    """An optimiser that does not import torch's compiler.

    torch wraps these methods only to exclude them from compilation. kdtune never compiles optimisers, and the import
    would take a second at the start of every worker.
    """

    add_param_group = unwrap(torch.optim.Optimizer.add_param_group)
    zero_grad = unwrap(torch.optim.Optimizer.zero_grad)
    state_dict = unwrap(torch.optim.Optimizer.state_dict)
    load_state_dict = unwrap(torch.optim.Optimizer.load_state_dict)


class _Sgd(_Eager, torch.optim.SGD):
    step = torch.no_grad()(unwrap(torch.optim.SGD.step))


class _Adam(_Eager, torch.optim.Adam):
    step = torch.no_grad()(unwrap(torch.optim.Adam.step))


def make_optimizer(
    training: Training, parameters: Iterable[torch.nn.Parameter], rate: torch.Tensor | None = None
) -> torch.optim.Optimizer:
    """Return SGD with momentum, Adam, or AdamW.

    Args:
        training: The recipe.
        parameters: The trained parameters.
        rate: The learning rate as a 0-d tensor that is updated before each step, so that the step can be captured as
            a graph; None for a number.
    """
    initial = training.learning_rate if rate is None else rate
    if training.optimizer == "sgd":
        # The fused version makes one pass over each weight. Its rounding differs from that of torch's plain loop.
        return _Sgd(
            parameters,
            initial,
            momentum=training.momentum,
            weight_decay=training.weight_decay,
            fused=True,
        )
    on_gpu = rate is not None and rate.device.type == "cuda"  # the step counter must be on the GPU too
    return _Adam(
        parameters,
        initial,
        weight_decay=training.weight_decay,
        decoupled_weight_decay=training.optimizer == "adamw",
        capturable=on_gpu,
        fused=on_gpu or None,
    )


def allocate_state(optimizer: torch.optim.Optimizer) -> None:
    """Create the state that an optimiser otherwise creates in its first step, filled with zeros.

    A first step starts from zeros, so no step is changed by this. The weights are not changed.
    """
    parameters = _parameters(optimizer)
    kept = [parameter.detach().clone() for parameter in parameters]
    for parameter in parameters:
        parameter.grad = torch.zeros_like(parameter)
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)
    with torch.no_grad():
        for parameter, before in zip(parameters, kept, strict=True):
            parameter.copy_(before)
    fill_state(optimizer, {})


def fill_state(optimizer: torch.optim.Optimizer, state: Mapping[int, Mapping[str, Any]]) -> None:
    """Write state into the tensors that :func:`allocate_state` created, whose addresses do not change.

    Args:
        optimizer: The optimiser, whose learning rate and other hyperparameters are not changed.
        state: Tensors by parameter and name, as in ``state_dict()["state"]``; missing ones become zero.
    """
    for number, parameter in enumerate(_parameters(optimizer)):
        given = state.get(number, {})
        for name, tensor in optimizer.state.get(parameter, {}).items():
            if isinstance(tensor, torch.Tensor):
                tensor.copy_(given[name]) if name in given else tensor.zero_()


def optimizer_tensors(optimizer: torch.optim.Optimizer) -> list[torch.Tensor]:
    """Return all tensors of an optimiser's state."""
    kept = (optimizer.state.get(parameter, {}).values() for parameter in _parameters(optimizer))
    return [value for values in kept for value in values if isinstance(value, torch.Tensor)]


def _parameters(optimizer: torch.optim.Optimizer) -> list[torch.nn.Parameter]:
    return [parameter for group in optimizer.param_groups for parameter in group["params"]]


def learning_rate(training: Training, epoch: int, step: int, steps: int) -> float:
    """Return the learning rate of one step, which depends only on its position.

    Args:
        training: The recipe.
        epoch: Epoch, counted from 0.
        step: Step within the epoch, counted from 0.
        steps: Number of steps in an epoch.
    """
    taken, warmup_steps = epoch * steps + step + 1, training.warmup_epochs * steps  # may not be an integer
    if taken <= warmup_steps:
        return training.learning_rate * taken / warmup_steps
    passed = sum(epoch >= milestone for milestone in training.milestones)
    return training.learning_rate * training.gamma**passed
