import pytest
import torch

from kdtune.temperature.base import PolicyContext
from kdtune.temperature.cosine import Cosine, Options

NOTHING = torch.zeros(2, 3)


def taus(epochs, **options):
    policy = Cosine(Options(**options), PolicyContext(0, torch.device("cpu"), epochs, 2))
    found = []
    for epoch in range(epochs):
        policy.begin_epoch(epoch, 3)
        called = [policy(NOTHING, NOTHING, step).student.item() for step in range(3)]
        assert policy.scheduled([2, 2, 1]).student.tolist() == called
        assert policy.scheduled([2, 2, 1]).weight.tolist() == pytest.approx([tau**2 for tau in called])
        assert policy.epoch_tau() == pytest.approx(called[0])
        found.append(policy.epoch_tau())
    return found


def test_tau_falls_along_half_a_cosine_to_one():
    # Four epochs: cos of 0, pi/3, 2 pi/3 and pi is 1, 1/2, -1/2 and -1, so (1 + cos)/2 is 1, 3/4, 1/4 and 0.
    # 1 + (9 - 1) * (1, 3/4, 1/4, 0) = (9, 7, 3, 1)
    assert taus(4, tau=9) == pytest.approx([9, 7, 3, 1])


def test_it_ends_where_it_is_told_to():
    # 2 + (10 - 2) * (1, 1/2, 0) = (10, 6, 2)
    assert taus(3, tau=10, last=2) == pytest.approx([10, 6, 2])


def test_a_training_of_one_epoch_has_the_first_tau():
    assert taus(1, tau=9) == [9]
