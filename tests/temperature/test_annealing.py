"""The temperature that falls in equal blocks of epochs."""

import torch

from kdtune.temperature.annealing import Annealed, Options
from kdtune.temperature.base import PolicyContext


def taus(epochs, **options):
    policy = Annealed(Options(**options), PolicyContext(0, torch.device("cpu"), epochs, 2))
    found = []
    for epoch in range(epochs):
        policy.begin_epoch(epoch, 1)
        found.append(policy.epoch_tau())
    return found


def test_the_factor_rises_from_a_tenth_to_one_in_equal_blocks():
    assert taus(20) == [10 / (1 + epoch // 2) for epoch in range(20)]
    assert taus(6, levels=3) == [3, 3, 1.5, 1.5, 1, 1]


def test_few_epochs_skip_levels():
    assert taus(4) == [10, 10 / 3, 10 / 6, 10 / 8]
