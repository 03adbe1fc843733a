"""Optimisers and learning rates, as a recipe asks for them."""

from collections.abc import Iterable
from inspect import unwrap

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


def make_optimizer(training: Training, parameters: Iterable[torch.nn.Parameter]) -> torch.optim.Optimizer:
    """SGD with momentum, or Adam."""
    if training.optimizer == "sgd":
        # Fused is one pass over each weight; beside torch's plain loop a step differs by its rounding.
        return _Sgd(
            parameters,
            training.learning_rate,
            momentum=training.momentum,
            weight_decay=training.weight_decay,
            fused=True,
        )
    return _Adam(parameters, training.learning_rate, weight_decay=training.weight_decay)


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
