"""A tau for each image from its greatest standardised logit, against values by hand."""

from math import log, sqrt

import pytest
import torch

from kdtune.methods.max_logit import MaxLogit
from kdtune.methods.standardized import Options
from tests.methods.by_hand import exactly, logits, tau

LABELS = torch.tensor([0])

# Three classes, sample deviation: (2, 2, -1) has the mean 1 and the deviation sqrt(3), so that its standardised logits
# are (1, 1, -2) / sqrt(3); those of (6, 0, 3) are (1, -1, 0).
STUDENT, TEACHER = logits([2, 2, -1]), logits([6, 0, 3])


def kl(student, teacher):
    """Return KL(teacher, student) of the softmax of two lists."""
    p, q = (torch.tensor(one, dtype=torch.float64).log_softmax(0) for one in (teacher, student))
    return (p.exp() * (p - q)).sum().item()


def test_tau_is_a_multiple_of_the_greatest_magnitude_in_either_network():
    # The greatest magnitude is 2 / sqrt(3), in the student's negative logit.
    softness = MaxLogit(Options()).softness(STUDENT, TEACHER, tau(1.5))
    assert softness.student.item() == exactly(1.5 * 2 / sqrt(3) * sqrt(3))
    assert softness.teacher.item() == exactly(1.5 * 2 / sqrt(3) * 3)
    assert softness.weight.item() == exactly(1.5**2 * 4 / 3)


def test_the_loss_is_nine_tau_squared_kl_and_a_tenth_of_the_cross_entropy():
    own = 1.366 * 2 / sqrt(3)
    divergence = kl([1 / sqrt(3) / own, 1 / sqrt(3) / own, -2 / sqrt(3) / own], [1 / own, -1 / own, 0])
    expected = 9 * own**2 * divergence + 0.1 * log(2 + 2.718281828459045**-3)
    assert MaxLogit(Options())(STUDENT, TEACHER, LABELS, tau(1.366), 0.5).item() == pytest.approx(expected, rel=1e-9)


def test_each_image_has_its_own():
    student, teacher = torch.cat([STUDENT, TEACHER]), torch.cat([TEACHER, TEACHER])
    found = MaxLogit(Options(label_weight=0)).softness(student, teacher, tau(1))
    assert found.teacher.flatten().tolist() == exactly([2 / sqrt(3) * 3, 3])


def test_tau_carries_no_gradient_but_the_deviation_does():
    student = STUDENT.clone().requires_grad_()
    found = MaxLogit(Options()).softness(student, TEACHER, tau(1))
    assert found.student.requires_grad and not found.teacher.requires_grad and not found.weight.requires_grad


def test_equal_logits_have_a_tau():
    found = MaxLogit(Options()).softness(logits([3, 3]), logits([0, 0]), tau(1))
    assert found.weight.item() == exactly(0.49)
