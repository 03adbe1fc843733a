"""Logit standardisation against values by hand."""

from math import log

import pytest
import torch

from kdtune.methods.standardized import Options, Standardized
from kdtune.temperature.base import Temperature
from kdtune.temperature.normkd import NormKd
from kdtune.temperature.normkd import Options as NormKdOptions
from tests.methods.by_hand import CPU, exactly, logits, tau

# Two classes at a distance d have the sample standard deviation d / sqrt(2), so their standardised logits are
# -1/sqrt(2) and 1/sqrt(2) whatever d > 0 is. At tau = sqrt(2) / ln 3 they are -(ln 3)/2 and (ln 3)/2, which is
# (1/4, 3/4); the KL between (3/4, 1/4) and (1/4, 3/4) is (ln 3)/2.
TAU = 2**0.5 / log(3)
STUDENT, TEACHER, LABELS = logits([-7, 1]), logits([30, 12]), torch.tensor([1])


def test_the_scale_and_the_mean_of_the_logits_have_no_effect_on_the_divergence():
    loss = Standardized(Options(weight=1, label_weight=0))
    assert loss(STUDENT, TEACHER, LABELS, tau(TAU), 0.5).item() == exactly(TAU**2 * log(3) / 2)
    assert loss(3 * STUDENT + 5, TEACHER / 9, LABELS, tau(TAU), 0.5).item() == exactly(TAU**2 * log(3) / 2)


def test_the_weights_are_nine_and_a_tenth_unless_given():
    ce = log(1 + torch.tensor(-8.0, dtype=torch.float64).exp().item())  # of logits -7 and 1, label 1
    found = Standardized(Options())(STUDENT, TEACHER, LABELS, tau(TAU), 0.5).item()
    assert found == exactly(9 * TAU**2 * log(3) / 2 + 0.1 * ce)


def test_normkd_has_the_same_outputs_and_another_weight():
    # std of the teacher's logits 30 and 12 is 18 / sqrt(2), so tau_t^2 is 162 tau^2.
    policy = NormKd(NormKdOptions(tau=TAU), CPU)
    policy.begin_epoch(0, 1)
    found = policy.of_step(STUDENT, TEACHER, LABELS, 0)
    assert found.student.item() == exactly(TAU * 8 / 2**0.5)
    assert found.teacher.item() == exactly(TAU * 18 / 2**0.5)
    assert found.weight.item() == exactly(TAU**2 * 162)
    assert found.weight.item() == pytest.approx(found.teacher.item() ** 2)


def test_gradients_flow_through_the_deviation():
    # The loss does not depend on the scale of the student's logits, so the gradient is orthogonal to them.
    student = logits([1, 2, 4, 7]).requires_grad_()
    Standardized(Options(label_weight=0))(student, logits([3, 0, 1, 2]), LABELS, tau(2), 0.9).backward()
    assert student.grad.norm().item() > 0.1
    assert (student.grad * student).sum().item() == pytest.approx(0, abs=1e-12)
    assert Temperature.same(torch.tensor(2.0)).weight == 4
