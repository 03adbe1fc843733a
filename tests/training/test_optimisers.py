import subprocess
import sys

import pytest
import torch

from kdtune.specs import Training
from kdtune.training.optimisers import learning_rate, make_optimizer


def training(**changes):
    return Training(**{"epochs": 10, "batch_size": 8, "learning_rate": 0.1, **changes})


def test_the_rate_grows_linearly_step_by_step_through_the_warmup():
    # Two epochs of four steps: 1/8, 2/8, ... 8/8 of 0.1.
    recipe = training(warmup_epochs=2)
    rates = [learning_rate(recipe, epoch, step, 4) for epoch in range(2) for step in range(4)]
    assert rates == pytest.approx([0.0125, 0.025, 0.0375, 0.05, 0.0625, 0.075, 0.0875, 0.1])


def test_the_rate_stays_after_the_warmup():
    assert learning_rate(training(warmup_epochs=2), 2, 0, 4) == 0.1


def test_a_warmup_may_end_within_an_epoch():
    # Half an epoch of five steps is 2.5 steps: 1/2.5 and 2/2.5 of 0.1, and after that the rate is reached.
    rates = [learning_rate(training(warmup_epochs=0.5), 0, step, 5) for step in range(5)]
    assert rates == pytest.approx([0.04, 0.08, 0.1, 0.1, 0.1])
    assert rates[2:] == [0.1] * 3


def test_a_warmup_of_less_than_a_step_is_none():
    assert learning_rate(training(warmup_epochs=0.02), 0, 0, 25) == 0.1


def test_a_warmup_of_one_and_a_half_epochs_goes_on_in_the_second():
    # Three steps of two an epoch: thirds of 0.1.
    rates = [learning_rate(training(warmup_epochs=1.5), epoch, step, 2) for epoch in range(2) for step in range(2)]
    assert rates == pytest.approx([0.1 / 3, 0.2 / 3, 0.1, 0.1])


@pytest.mark.parametrize("rate", [0.1, 0.05, 0.3, 0.07])
def test_a_warmup_of_whole_epochs_is_what_it_was_to_the_bit(rate):
    for warmup, steps in ((1, 7), (2, 352), (3, 11)):
        recipe = training(learning_rate=rate, warmup_epochs=warmup)
        for epoch in range(4):
            for step in range(steps):
                before = rate * (epoch * steps + step + 1) / (warmup * steps) if epoch < warmup else rate
                assert learning_rate(recipe, epoch, step, steps) == before


def test_the_rate_is_the_same_throughout_without_warmup_and_milestones():
    assert {learning_rate(training(), epoch, step, 4) for epoch in range(10) for step in range(4)} == {0.1}


def test_each_milestone_multiplies_the_rate_before_its_epoch():
    recipe = training(milestones=(2, 4), gamma=0.5)
    rates = [learning_rate(recipe, epoch, 0, 4) for epoch in range(6)]
    assert rates == pytest.approx([0.1, 0.1, 0.05, 0.05, 0.025, 0.025])


def test_a_milestone_holds_for_every_step_of_the_epoch():
    recipe = training(milestones=(1,), gamma=0.2)
    assert [learning_rate(recipe, 1, step, 3) for step in range(3)] == pytest.approx([0.02] * 3)


def stepped(recipe, gradient, steps):
    """A weight of 1 after each step against a constant gradient."""
    weight = torch.nn.Parameter(torch.tensor(1.0, dtype=torch.float64))
    optimizer = make_optimizer(recipe, [weight])
    path = []
    for _ in range(steps):
        weight.grad = torch.tensor(gradient, dtype=torch.float64)
        optimizer.step()
        path.append(weight.item())
    return path


def test_sgd_has_momentum_without_nesterov_and_an_l2_penalty():
    # First:  g = 2 + 0.5 * 1    = 2.5,   v = 2.5,                   w = 1 - 0.1 * 2.5      = 0.75
    # Second: g = 2 + 0.5 * 0.75 = 2.375, v = 0.9 * 2.5 + g = 4.625, w = 0.75 - 0.1 * 4.625 = 0.2875
    path = stepped(training(momentum=0.9, weight_decay=0.5), gradient=2.0, steps=2)
    assert path == pytest.approx([0.75, 0.2875])


def test_adam_moves_by_the_rate_whatever_the_size_of_the_gradient():
    assert stepped(training(optimizer="adam"), gradient=50.0, steps=1) == pytest.approx([0.9])


def test_adams_weight_decay_is_added_to_the_gradient():
    # g = -1 + 3 * 1 = 2 points up, so the weight goes down by the rate; decoupled decay would let it rise.
    assert stepped(training(optimizer="adam", weight_decay=3.0), gradient=-1.0, steps=1) == pytest.approx([0.9])


def test_the_weight_decay_of_adamw_is_not_part_of_the_gradient():
    # The decay shrinks the weight to 1 - 0.1 * 3 = 0.7, and the gradient points down, so the step adds the rate.
    assert stepped(training(optimizer="adamw", weight_decay=3.0), gradient=-1.0, steps=1) == pytest.approx([0.8])


@pytest.mark.parametrize(
    ("optimizer", "plain"),
    [
        ("sgd", lambda weights: torch.optim.SGD(weights, 0.1, momentum=0.9, weight_decay=5e-4, fused=True)),
        ("adam", lambda weights: torch.optim.Adam(weights, 0.1, weight_decay=5e-4)),
        ("adamw", lambda weights: torch.optim.AdamW(weights, 0.1, weight_decay=5e-4)),
    ],
)
def test_steps_are_torchs_own_also_after_a_checkpoint(optimizer, plain):
    ours, theirs = ([torch.nn.Parameter(torch.linspace(-1, 1, 12).view(3, 4))] for _ in range(2))
    make = {
        "ours": lambda: make_optimizer(training(optimizer=optimizer, weight_decay=5e-4), ours),
        "theirs": lambda: plain(theirs),
    }
    pair = [(make["ours"](), ours), (make["theirs"](), theirs)]
    for step in range(6):
        if step == 3:
            again = make["ours"]()
            again.load_state_dict(pair[0][0].state_dict())
            pair[0] = again, ours
        for one, (weights,) in pair:
            (weights**3 * (step + 1)).sum().backward()
            one.step()
            one.zero_grad()
            assert weights.grad is None
        assert torch.equal(ours[0], theirs[0])


def test_fused_steps_are_the_plain_ones_to_the_rounding_of_float32_and_the_same_in_every_run():
    generator = torch.Generator().manual_seed(torch.seed())
    begin = [torch.randn(shape, generator=generator) for shape in ((64, 32, 3, 3), (257,), (10, 64))]
    gradients = [[torch.randn(one.shape, generator=generator) for one in begin] for _ in range(30)]

    def trained(make):
        weights = [torch.nn.Parameter(one.clone()) for one in begin]
        optimizer = make(weights)
        for step in gradients:
            for weight, gradient in zip(weights, step, strict=True):
                weight.grad = gradient.clone()
            optimizer.step()
        return torch.cat([weight.detach().flatten() for weight in weights])

    recipe = training(weight_decay=5e-4)
    fused, again = (trained(lambda weights: make_optimizer(recipe, weights)) for _ in range(2))
    plain = trained(lambda weights: torch.optim.SGD(weights, 0.1, momentum=0.9, weight_decay=5e-4, foreach=False))
    assert torch.equal(fused, again)
    assert float((fused - plain).norm() / plain.norm()) < 1e-7


def test_a_training_does_not_import_torchs_compiler():
    """A second of every worker's start."""
    code = """
import sys, torch
from tests.recipes import recipe_of
from kdtune.artifacts.training_context import TrainingContext
from tests.recipes import recipe_of
from kdtune.specs import load_study
study = load_study("digits-hkd")
training = TrainingContext(study, torch.device("cpu"), 1).distiller(recipe_of(study, {"loss": "ce"}), 0)
training.train_epoch()
training.load_state_dict(training.state_dict())
assert "torch._dynamo" not in sys.modules
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
