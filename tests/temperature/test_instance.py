"""The temperatures FLSW and CWSM against values by hand."""

from math import log

import pytest
import torch

from kdtune.methods.losses import hkd
from kdtune.temperature.base import PolicyContext
from kdtune.temperature.instance import InstanceWise, Options


def temperature(student, teacher, **options):
    policy = InstanceWise(Options(**options), PolicyContext(0, torch.device("cpu"), 1, len(student)))
    policy.begin_epoch(0, 1)
    return policy.of_step(student, teacher, None, 0)


def taus(student, teacher, **options):
    return temperature(torch.tensor(student), torch.tensor(teacher), **options).student.flatten().tolist()


def test_flsw_lowers_tau_with_the_angle_between_the_logits():
    # Cosines 1, 0 and -1: 1 - cos = 0, 1, 2, mean 1. tau = 4 + 1 * (1 - (0, 1, 2)) = (5, 4, 3)
    student, teacher = [[1.0, 0.0]] * 3, [[3.0, 0.0], [0.0, 2.0], [-5.0, 0.0]]
    assert taus(student, teacher, tau=4) == pytest.approx([5, 4, 3])


def test_flsw_has_an_exponent_and_a_factor():
    # (1 - cos)^2 = 0, 1, 4, mean 5/3. tau = 10 + 3 * (5/3 - (0, 1, 4)) = (15, 12, 3)
    student, teacher = [[1.0, 0.0]] * 3, [[3.0, 0.0], [0.0, 2.0], [-5.0, 0.0]]
    assert taus(student, teacher, tau=10, beta=3, gamma=2) == pytest.approx([15, 12, 3], rel=1e-5)


def test_cwsm_lowers_tau_where_the_student_is_not_confident():
    # The student's greatest probabilities are 1/2 and 3/4 (logits 0 and ln 3).
    # w = 1/(0.5 + 0.001) = 1.996008 and 1/(0.75 + 0.001) = 1.331558; mean 1.663783.
    # tau = 4 + 2 * (mean - w) = 4 - 2 * 0.332225 and 4 + 2 * 0.332225
    student = [[0.0, 0.0], [0.0, log(3)]]
    assert taus(student, [[9.0, 0.0]] * 2, tau=4, weights="cwsm", beta=2) == pytest.approx([3.33555, 4.66445], abs=1e-5)


def test_tau_is_at_least_one():
    student, teacher = [[1.0, 0.0]] * 2, [[3.0, 0.0], [-5.0, 0.0]]
    # 1 - cos = 0, 2: tau = 2 + 5 * (1 - (0, 2)) = (7, -3), limited to (7, 1)
    assert taus(student, teacher, tau=2, beta=5) == pytest.approx([7, 1])


@pytest.mark.parametrize("weights", ["flsw", "cwsm"])
@pytest.mark.parametrize("teacher", [[[0.5, -0.2, 0.1]], [[-1.0, 2.0, 0.3]]])
def test_one_image_has_the_mean_tau(weights, teacher):
    assert taus([[0.5, -0.2, 0.1]], teacher, tau=4, weights=weights, beta=3) == pytest.approx([4])


@pytest.mark.parametrize("weights", ["flsw", "cwsm"])
@pytest.mark.parametrize("scale", [0.0, 1e-30, 1.0, 65504.0, 1e30])
@pytest.mark.parametrize("classes", [2, 1000])
def test_tau_is_finite_whatever_the_logits(weights, scale, classes):
    generator = torch.Generator().manual_seed(0)
    student, teacher = (scale * torch.randn(8, classes, generator=generator) for _ in range(2))
    for other in (teacher, student):
        found = temperature(student, other, tau=4, weights=weights, gamma=0.5).student
        assert found.isfinite().all() and (found >= 1).all()


@pytest.mark.parametrize("weights", ["flsw", "cwsm"])
def test_bfloat16_logits_give_a_float32_tau(weights):
    logits = torch.randn(4, 5, generator=torch.Generator().manual_seed(0)).bfloat16()
    found = temperature(logits, logits.flip(0), tau=4, weights=weights)
    assert found.student.dtype == found.weight.dtype == torch.float32
    assert torch.equal(
        found.student, temperature(logits.float(), logits.float().flip(0), tau=4, weights=weights).student
    )


@pytest.mark.parametrize("weights", ["flsw", "cwsm"])
def test_no_gradient_flows_through_tau(weights):
    generator = torch.Generator().manual_seed(0)
    student, teacher = (torch.randn(4, 5, generator=generator, dtype=torch.float64) for _ in range(2))
    student.requires_grad_()
    found = temperature(student, teacher, tau=4, weights=weights)
    assert not found.student.requires_grad and not found.weight.requires_grad
    labels = torch.zeros(4, dtype=torch.int64)
    assert torch.autograd.gradcheck(lambda logits: hkd(logits, teacher, labels, found, 0.9), (student,))
