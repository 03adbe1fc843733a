import math

import pytest
import torch

from kdtune.specs import Dimension
from kdtune.specs.seeds import derive_seed
from kdtune.temperature.base import PolicyContext
from kdtune.temperature.stochastic import Options, StochasticTemperature

STEPS = 5_000
LOGITS = torch.zeros(2, 3)


def drawing(dimension, seed=0, draw="batch", batch_size=1):
    options = Options(draw=draw, space=Dimension(**dimension))
    return StochasticTemperature(options, PolicyContext(seed, torch.device("cpu"), 1, batch_size))


def drawn(seed=0, steps=STEPS, **dimension):
    policy = drawing(dimension, seed)
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
    # Of 5,000 even draws from 19 points, one in 19 repeats the one before.
    taus = drawn(low=2, high=20, step=1)
    assert is_near(int((taus[1:] == taus[:-1]).sum()), 1 / 19)


def test_each_epoch_draws_anew():
    policy = drawing({"low": 2, "high": 20, "step": 1})
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
    policy = drawing({"low": 2, "high": 20})
    policy.begin_epoch(0, 8)
    first = policy(LOGITS, LOGITS, step).student.item()
    policy(LOGITS, LOGITS, 3)
    assert policy(LOGITS, LOGITS, step).student.item() == first


# How often tau is drawn


def policy(draw, batch_size=4, seed=0, **space):
    return drawing(space or {"low": 2, "high": 20}, seed, draw, batch_size)


def epoch(of, epoch=0, sizes=(4, 4, 3)):
    """The student's taus of an epoch of batches of some sizes, step by step."""
    of.begin_epoch(epoch, len(sizes))
    return [of(torch.zeros(size, 3), torch.zeros(size, 3), step).student for step, size in enumerate(sizes)]


def test_one_draw_an_epoch_serves_all_of_its_steps():
    of = policy("epoch")
    first, second = epoch(of, 0), epoch(of, 1)
    assert len({tau.item() for tau in first}) == len({tau.item() for tau in second}) == 1
    assert first[0] != second[0]
    assert of.epoch_tau() == second[0].item()


def test_one_draw_an_image_gives_a_column_of_taus_that_all_differ():
    taus = epoch(policy("sample"))
    assert [tau.shape for tau in taus] == [(4, 1), (4, 1), (3, 1)]
    assert len(set(torch.cat(taus).flatten().tolist())) == 11


def test_the_mean_of_an_epoch_leaves_out_what_was_drawn_for_images_that_a_small_batch_has_not():
    of = policy("sample")
    taus = torch.cat(epoch(of, sizes=(4, 1)))
    assert len(taus) == 5
    assert of.epoch_tau() == pytest.approx(taus.mean().item())


def test_each_image_is_weighed_by_the_square_of_its_own_tau():
    of = policy("sample", values=(2, 3))
    of.begin_epoch(0, 1)
    temperature = of(torch.zeros(4, 3), torch.zeros(4, 3), 0)
    assert temperature.weight.tolist() == [tau**2 for (tau,) in temperature.student.tolist()]
    assert torch.equal(temperature.student, temperature.teacher)


@pytest.mark.parametrize(("draw", "batch_size"), [("batch", 1), ("epoch", 1), ("sample", 25)])
def test_however_often_it_draws_the_distribution_is_the_spaces(draw, batch_size):
    of = policy(draw, batch_size, low=2, high=20, step=1, log=True)
    taus = []
    while len(taus) < STEPS:
        steps = 1 if draw == "epoch" else 800
        drawn_now = epoch(of, sizes=(batch_size,) * steps)
        taus += torch.cat([tau.flatten() for tau in drawn_now]).tolist()
    total = sum(1 / tau for tau in range(2, 21))
    assert all(is_near(taus[:STEPS].count(tau), 1 / tau / total) for tau in range(2, 21))


def test_the_papers_way_draws_what_it_always_did():
    # Fixed by results that exist: the first draws of seed 0 from 2 to 20.
    plain = drawing({"low": 2, "high": 20, "step": 1})
    generator = torch.Generator().manual_seed(derive_seed(0, "tau"))
    index = torch.multinomial(torch.ones(19, dtype=torch.float64), 3, replacement=True, generator=generator)
    assert [tau.item() for tau in epoch(plain)] == (index + 2).tolist()
