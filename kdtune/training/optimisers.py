"""Optimisers and learning rates, as a recipe asks for them."""

from collections.abc import Iterable, Mapping
from inspect import unwrap
from typing import Any

import torch

from kdtune.specs.study import Training


class _Eager:
    """An optimiser that does not import torch's compiler only to keep it out of its methods.

    The import takes a second of every worker's start. Optimisers are never compiled here; what torch wraps around
    these methods does nothing else.
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
    """SGD with momentum, or Adam.

    Args:
        training: The recipe.
        parameters: What is trained.
        rate: The learning rate as a 0-d tensor that is written before each step, so that the step can be captured as
            a graph; None for a number.
    """
    initial = training.learning_rate if rate is None else rate
    if training.optimizer == "sgd":
        # Fused is one pass over each weight; beside torch's plain loop a step differs by its rounding.
        return _Sgd(
            parameters,
            initial,
            momentum=training.momentum,
            weight_decay=training.weight_decay,
            fused=True,
        )
    on_gpu = rate is not None and rate.device.type == "cuda"  # its count of steps has to be on the GPU too
    return _Adam(parameters, initial, weight_decay=training.weight_decay, capturable=on_gpu, fused=on_gpu or None)


def allocate_state(optimizer: torch.optim.Optimizer) -> None:
    """Give every parameter the state that an optimiser creates in its first step, all zeros.

    Zeros are what a first step begins from, so no later step differs. The weights stay as they are.
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
    """Write state into the tensors that :func:`allocate_state` created, so that their addresses stay.

    Args:
        optimizer: Its learning rate and the other hyperparameters are left alone.
        state: By parameter and name, as in ``state_dict()["state"]``; what it does not name becomes zero.
    """
    for number, parameter in enumerate(_parameters(optimizer)):
        given = state.get(number, {})
        for name, tensor in optimizer.state.get(parameter, {}).items():
            if isinstance(tensor, torch.Tensor):
                tensor.copy_(given[name]) if name in given else tensor.zero_()


def optimizer_tensors(optimizer: torch.optim.Optimizer) -> list[torch.Tensor]:
    """All tensors of an optimiser's state."""
    kept = (optimizer.state.get(parameter, {}).values() for parameter in _parameters(optimizer))
    return [value for values in kept for value in values if isinstance(value, torch.Tensor)]


def _parameters(optimizer: torch.optim.Optimizer) -> list[torch.nn.Parameter]:
    return [parameter for group in optimizer.param_groups for parameter in group["params"]]


def learning_rate(training: Training, epoch: int, step: int, steps: int) -> float:
    """The rate of one step, a function of where it stands and nothing else.

    Args:
        training: The recipe.
        epoch: Counted from 0.
        step: Within the epoch, counted from 0.
        steps: Steps in an epoch.
    """
    taken, warmup_steps = epoch * steps + step + 1, training.warmup_epochs * steps  # may end between two steps
    if taken <= warmup_steps:
        return training.learning_rate * taken / warmup_steps
    passed = sum(epoch >= milestone for milestone in training.milestones)
    return training.learning_rate * training.gamma**passed
