"""Optimisers and learning rates, as a recipe asks for them."""

from collections.abc import Iterable

import torch

from kdtune.specs.study import Training


def make_optimizer(training: Training, parameters: Iterable[torch.nn.Parameter]) -> torch.optim.Optimizer:
    """SGD with momentum, or Adam."""
    if training.optimizer == "sgd":
        return torch.optim.SGD(
            parameters, training.learning_rate, momentum=training.momentum, weight_decay=training.weight_decay
        )
    return torch.optim.Adam(parameters, training.learning_rate, weight_decay=training.weight_decay)


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
