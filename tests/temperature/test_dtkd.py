"""The temperatures of DTKD against values by hand."""

import pytest
import torch

from kdtune.methods.losses import hkd
from kdtune.temperature.base import PolicyContext
from kdtune.temperature.dtkd import Dtkd, Options


def temperature(student, teacher, tau=4):
    policy = Dtkd(Options(tau=tau), PolicyContext(0, torch.device("cpu"), 1, len(student)))
    policy.begin_epoch(0, 1)
    return policy.of_step(student, teacher, None, 0)


def test_the_temperatures_are_in_proportion_to_the_greatest_logits():
    # First image: greatest logits 3 and 5, so tau_s = 8 * 3/8 = 3 and tau_t = 8 * 5/8 = 5; weight 15.
    # Second image: 6 and 2, so tau_s = 8 * 6/8 = 6 and tau_t = 8 * 2/8 = 2; weight 12.
    found = temperature(torch.tensor([[3.0, -1.0], [0.0, 6.0]]), torch.tensor([[1.0, 5.0], [2.0, 1.0]]))
    assert found.student.tolist() == [[3], [6]]
    assert found.teacher.tolist() == [[5], [2]]
    assert found.weight.tolist() == [15, 12]


def test_equal_logits_have_the_reference_temperature():
    logits = torch.tensor([[1.0, 7.0]])
    assert temperature(logits, logits, tau=6).student.tolist() == [[6]]


@pytest.mark.parametrize("greatest", [0.0, -3.0])
def test_without_a_positive_greatest_logit_both_have_the_reference_temperature(greatest):
    nonpositive, positive = torch.tensor([[greatest, -9.0]]), torch.tensor([[5.0, 1.0]])
    for student, teacher in ((nonpositive, positive), (positive, nonpositive)):
        found = temperature(student, teacher)
        assert (found.student.item(), found.teacher.item()) == (4, 4)


def test_no_temperature_is_less_than_a_twentieth_of_the_reference():
    # 8 * 1/(1 + 999) = 0.008 is limited to 4/20 = 0.2; the other is 8 - 0.2.
    found = temperature(torch.tensor([[1.0, 0.0]]), torch.tensor([[999.0, 0.0]]))
    assert (found.student.item(), found.teacher.item()) == pytest.approx((0.2, 7.8))


def test_gradients_flow_through_the_temperatures_and_the_weight():
    generator = torch.Generator().manual_seed(0)
    student, teacher = (2 * torch.randn(4, 5, generator=generator, dtype=torch.float64) for _ in range(2))
    student.requires_grad_()
    labels = torch.zeros(4, dtype=torch.int64)

    def loss(logits):
        return hkd(logits, teacher, labels, temperature(logits, teacher), 0.9)

    assert torch.autograd.gradcheck(loss, (student,))
    [whole] = torch.autograd.grad(loss(student), student)
    constant = temperature(student.detach(), teacher)
    [without] = torch.autograd.grad(hkd(student, teacher, labels, constant, 0.9), student)
    assert not torch.allclose(whole, without)


@pytest.mark.parametrize("scale", [0.0, 1e-30, 1e-6, 1.0, 65504.0, 1e10])
@pytest.mark.parametrize("other", [1e-6, 1.0, 1e10])
@pytest.mark.parametrize("classes", [2, 1000])
def test_loss_and_gradient_are_finite_whatever_the_logits(scale, other, classes):
    generator = torch.Generator().manual_seed(0)
    student = (scale * torch.randn(8, classes, generator=generator)).requires_grad_()
    teacher = other * torch.randn(8, classes, generator=generator)
    value = hkd(student, teacher, torch.zeros(8, dtype=torch.int64), temperature(student, teacher), 0.9)
    value.backward()
    assert value.isfinite() and student.grad.isfinite().all()


def test_the_mean_over_the_epoch_keeps_no_graph():
    student = torch.tensor([[3.0, -1.0], [0.0, 6.0]], requires_grad=True)
    policy = Dtkd(Options(), PolicyContext(0, torch.device("cpu"), 1, 2))
    policy.begin_epoch(0, 1)
    policy.of_step(student, torch.tensor([[1.0, 5.0], [2.0, 1.0]]), None, 0)
    assert policy.epoch_tau() == 4.5  # the mean of 3 and 6
    assert not policy._sum.requires_grad
