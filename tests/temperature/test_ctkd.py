"""The learned temperature with a reversed gradient."""

import math

import pytest
import torch

from kdtune.methods.losses import hkd
from kdtune.temperature.base import PolicyContext, Temperature
from kdtune.temperature.ctkd import Ctkd, Options

LABELS = torch.tensor([0, 2, 1])
STUDENT = torch.tensor([[2.0, -1.0, 0.5], [0.0, 1.0, 4.0], [-3.0, 0.2, 1.0]], dtype=torch.float64)
TEACHER = torch.tensor([[5.0, 1.0, -2.0], [0.0, -1.0, 9.0], [1.0, 3.0, 2.0]], dtype=torch.float64)


def make(**options):
    return Ctkd(Options(**options), PolicyContext(0, torch.device("cpu"), 30, 3))


def at(policy, epoch):
    policy.begin_epoch(epoch, 1)
    return policy.of_step(STUDENT, TEACHER, LABELS, 0)


def loss_at(theta):
    """Return 0.9 tau^2 KL + 0.1 CE in float64 for a theta, with its graph."""
    return hkd(STUDENT, TEACHER, LABELS, Temperature.same(1 + 20 * torch.sigmoid(theta)), 0.9)


def test_tau_starts_at_15_62():
    assert at(make(), 0).student.item() == pytest.approx(1 + 20 / (1 + math.exp(-1)), rel=1e-6)
    assert at(make(), 0).student.item() == pytest.approx(15.62, abs=0.005)
    assert at(make(start=2, range=8), 0).student.item() == pytest.approx(2 + 8 * 0.7310586, rel=1e-6)


@pytest.mark.parametrize(
    ("epoch", "factor"), [(0, (1 + math.cos(math.pi / 10)) / 2 - 1), (4, -0.5), (9, -1), (10, -1), (29, -1)]
)
def test_the_gradient_of_theta_is_reversed_step_by_step(epoch, factor):
    policy = make()
    policy._theta.data = policy._theta.data.double()
    [theta] = policy.parameters()
    hkd(STUDENT, TEACHER, LABELS, at(policy, epoch), 0.9).backward()
    above, below = (loss_at(torch.tensor(1 + h, dtype=torch.float64)) for h in (1e-5, -1e-5))
    slope = ((above - below) / 2e-5).item()  # numerically, through both softmaxes and tau^2
    assert abs(slope) > 1e-3
    assert theta.grad.item() == pytest.approx(factor * slope, rel=1e-5)


def test_without_a_ramp_it_is_reversed_at_once():
    policy = make(ramp=0)
    at(policy, 0).student.backward()
    [theta] = policy.parameters()
    share = 1 / (1 + math.exp(-1))
    assert theta.grad.item() == pytest.approx(-20 * share * (1 - share), rel=1e-6)


def test_the_factor_does_not_change_tau():
    assert len({at(make(), epoch).student.item() for epoch in (0, 3, 20)}) == 1
