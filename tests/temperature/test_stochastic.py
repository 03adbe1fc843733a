import math

import pytest
import torch

from kdtune.specs import Dimension
from kdtune.temperature.stochastic import Stochastic

STEPS = 20_000
LOGITS = torch.zeros(2, 3)


def drawn(seed=0, steps=STEPS, **dimension):
    policy = Stochastic(Dimension(**dimension), seed, torch.device("cpu"))
    policy.begin_epoch(0, steps)
    return torch.stack([policy(LOGITS, LOGITS, step).student for step in range(steps)]).double()


def is_near(count, share):
    """Within five standard deviations of a binomial count."""
    return abs(count - STEPS * share) < 5 * math.sqrt(STEPS * share * (1 - share))


def test_the_points_of_the_space_are_all_drawn_and_nothing_else():
    assert set(drawn(low=2, high=20, step=1).tolist()) == set(range(2, 21))


def test_listed_values_are_all_drawn_and_nothing_else():
    assert set(drawn(values=(0.5, 4, 9)).tolist()) == {0.5, 4, 9}


def test_a_space_of_one_point_draws_that_point():
    assert set(drawn(low=4, high=4, steps=100).tolist()) == {4}


def test_points_are_drawn_evenly():
    taus = drawn(low=2, high=20, step=1)
    assert all(is_near(int((taus == tau).sum()), 1 / 19) for tau in range(2, 21))


def test_a_logarithmic_space_draws_in_proportion_to_one_over_tau():
    taus = drawn(low=2, high=20, step=1, log=True)
    total = sum(1 / tau for tau in range(2, 21))
    assert all(is_near(int((taus == tau).sum()), 1 / tau / total) for tau in range(2, 21))


def test_without_a_step_the_whole_interval_is_drawn_evenly():
    taus = drawn(low=2, high=20)
    assert len(set(taus.tolist())) > 0.9 * STEPS
    assert taus.min() >= 2
    assert taus.max() <= 20
    assert is_near(int((taus < 6.5).sum()), 1 / 4)


def test_without_a_step_a_logarithmic_interval_is_drawn_evenly_in_the_logarithm():
    taus = drawn(low=1, high=100, log=True)
    assert taus.min() >= 1
    assert taus.max() <= 100
    assert is_near(int((taus < 10).sum()), 1 / 2)


def test_each_batch_draws_anew():
    # Of 20,000 even draws from 19 points, one in 19 repeats the one before.
    taus = drawn(low=2, high=20, step=1)
    assert is_near(int((taus[1:] == taus[:-1]).sum()), 1 / 19)


def test_each_epoch_draws_anew():
    policy = Stochastic(Dimension(low=2, high=20, step=1), 0, torch.device("cpu"))
    epochs = []
    for epoch in range(2):
        policy.begin_epoch(epoch, 100)
        epochs.append([policy(LOGITS, LOGITS, step).student.item() for step in range(100)])
    assert epochs[0] != epochs[1]


def test_another_seed_draws_others():
    one, other = (drawn(seed=seed, steps=100, low=2, high=20, step=1) for seed in (0, 1))
    assert not torch.equal(one, other)


@pytest.mark.parametrize("step", [0, 7])
def test_asking_again_for_a_step_draws_nothing_new(step):
    policy = Stochastic(Dimension(low=2, high=20), 0, torch.device("cpu"))
    policy.begin_epoch(0, 8)
    first = policy(LOGITS, LOGITS, step).student.item()
    policy(LOGITS, LOGITS, 3)
    assert policy(LOGITS, LOGITS, step).student.item() == first
