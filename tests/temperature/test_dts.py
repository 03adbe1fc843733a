"""The temperature that falls along a cosine and depends on how far the student lags behind the teacher."""

import math

import pytest
import torch

from kdtune.temperature.base import PolicyContext
from kdtune.temperature.dts import Dts, Options

LABELS = torch.tensor([0, 1])


def make(epochs=4, **options):
    return Dts(Options(**options), PolicyContext(0, torch.device("cpu"), epochs, 2))


def logits(cross_entropy):
    """Return logits of two classes whose cross-entropy with the labels is the given one, for each image."""
    margin = -math.log(math.expm1(cross_entropy))
    return torch.tensor([[margin, 0.0], [0.0, margin]])


def after(policy, epoch, student, teacher, steps=1):
    """Return the tau that the steps of one epoch lead to."""
    policy.begin_epoch(epoch, steps)
    for step in range(steps):
        policy.of_step(logits(student), logits(teacher), LABELS, step)
    return policy.state_dict()["tau"].item()


def test_a_step_uses_the_tau_that_earlier_steps_have_led_to():
    policy = make(tau=8)
    policy.begin_epoch(0, 2)
    first = policy.of_step(logits(0.5), logits(0.1), LABELS, 0)
    assert (first.student.item(), first.teacher.item(), first.weight.item()) == (8, 8, 64)


def test_without_a_lag_it_is_a_moving_average_of_a_cosine():
    # Epoch 2 of 4: 8 (1 + cos(pi/2)) / 2 = 4, and 0.9 x 8 + 0.1 x 4 = 7.6, then 0.9 x 7.6 + 0.4 = 7.24.
    assert after(make(tau=8), 2, student=0.5, teacher=0.1) == pytest.approx(7.6)
    assert after(make(tau=8), 2, student=0.5, teacher=0.1, steps=2) == pytest.approx(7.24)


def test_the_target_is_limited_from_below():
    # Epoch 3 of 4: 8 (1 + cos(3 pi/4)) / 2 = 1.17, less than half of 8, but not than an eighth.
    assert after(make(tau=8), 3, 0.5, 0.1) == pytest.approx(0.9 * 8 + 0.1 * 4)
    assert after(make(tau=8, least=0.125), 3, 0.5, 0.1) == pytest.approx(7.2 + 0.1 * 1.17157, rel=1e-6)


@pytest.mark.parametrize(
    ("lag", "large", "scale"),
    [(4.0, 1.35, 4 / 3), (1.5, 1.35, 1.35), (1.8, 0, 1.8 / 0.8), (0.9, 1.35, 1.0), (-1.0, 1.35, 1.0)],
)
def test_it_falls_more_slowly_where_the_student_lags_far_behind(lag, large, scale):
    policy = make(tau=8, least=0.125, average=0.0, large=large)
    teacher = 1.1 if lag < 0 else 0.1
    # Epoch 3 of 4, so that no target exceeds tau.
    assert after(policy, 3, teacher + lag, teacher) == pytest.approx(1.1715729 * scale, rel=1e-4)


def test_the_target_is_never_more_than_tau():
    assert after(make(tau=8, average=0.0), 0, student=4.1, teacher=0.1) == 8


@pytest.mark.parametrize("student", [torch.full((2, 2), math.inf), torch.tensor([[-1e30, 1e30], [1e30, -1e30]])])
def test_extreme_logits_leave_it_finite(student):
    policy = make(tau=8)
    policy.begin_epoch(1, 1)
    policy.of_step(student, logits(0.1), LABELS, 0)
    assert 4 <= policy.state_dict()["tau"].item() <= 8


def test_it_carries_no_gradient():
    policy = make()
    policy.begin_epoch(0, 1)
    student = logits(0.5).requires_grad_()
    assert not policy.of_step(student, logits(0.1), LABELS, 0).weight.requires_grad
