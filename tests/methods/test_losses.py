"""Every loss against values worked out by hand.

A softmax over logits that are logarithms gives back the numbers, in proportion: logits (ln 1, ln 3) are the
probabilities (1/4, 3/4); divided by tau 2, logits (0, 2 ln 3) are the same ones.
"""

from math import log

import pytest
import torch

from kdtune.methods.losses import ce, cmc, dml, hkd, softened_kl
from kdtune.temperature.base import Temperature
from tests.methods.by_hand import exactly, logits, tau

LN3 = log(3)


# Two images. At tau 2 the first has the student at (1/4, 3/4) and the teacher at (3/4, 1/4):
#   KL(teacher, student) = 3/4 ln((3/4)/(1/4)) + 1/4 ln((1/4)/(3/4)) = 3/4 ln 3 - 1/4 ln 3 = (ln 3)/2
# In the second they agree, so its KL is 0.
STUDENT = logits([0, 2 * LN3], [0, 0])
TEACHER = logits([2 * LN3, 0], [0, 0])
LABELS = torch.tensor([1, 0])

# KL at tau 2, mean over the two images: ((ln 3)/2 + 0) / 2
MEAN_KL = LN3 / 4

# At tau 1 the student's probabilities are (1/10, 9/10) and (1/2, 1/2); the labels are 1 and 0:
#   CE = (-ln(9/10) - ln(1/2)) / 2
CE = (log(10 / 9) + log(2)) / 2


def test_ce_is_the_mean_over_the_batch_in_nats():
    assert ce(STUDENT, None, LABELS, None, 0.0).item() == exactly(CE)


def test_hkd_weighs_the_kl_with_tau_squared_and_the_labels_with_the_rest():
    # 0.95 * 2^2 * (ln 3)/4 + 0.05 * CE
    assert hkd(STUDENT, TEACHER, LABELS, tau(2), 0.95).item() == exactly(0.95 * 4 * MEAN_KL + 0.05 * CE)


def test_dml_has_no_tau_squared():
    # 0.95 * (ln 3)/4 + 0.05 * CE
    assert dml(STUDENT, TEACHER, LABELS, tau(2), 0.95).item() == exactly(0.95 * MEAN_KL + 0.05 * CE)


def test_cmc_is_the_mean_over_images_and_classes_of_the_squared_difference_over_tau():
    # Differences at tau 2: (-ln 3, ln 3) and (0, 0). Squares: 2 (ln 3)^2 over 2 images * 2 classes.
    expected = 2 * LN3**2 / 4
    assert cmc(STUDENT, TEACHER, LABELS, tau(2), 0.95).item() == exactly(0.95 * expected + 0.05 * CE)


def test_cmc_at_tau_1_is_the_unaltered_mean_squared_error():
    # Differences at tau 1: (-2 ln 3, 2 ln 3) and (0, 0). Squares: 8 (ln 3)^2 over 4.
    assert cmc(STUDENT, TEACHER, LABELS, tau(1), 1.0).item() == exactly(2 * LN3**2)


def test_the_divergence_is_of_the_student_from_the_teacher_and_not_the_other_way_round():
    # Teacher (1/2, 1/2), student (1/4, 3/4): 1/2 ln 2 + 1/2 ln(2/3) = 1/2 ln(4/3).
    # The other way it would be 1/4 ln(1/2) + 3/4 ln(3/2).
    kl = softened_kl(logits([0, LN3]), logits([0, 0]), tau(1))
    assert kl.tolist() == [exactly(log(4 / 3) / 2)]


def test_the_divergence_is_one_number_an_image():
    assert softened_kl(STUDENT, TEACHER, tau(2)).tolist() == [exactly(LN3 / 2), exactly(0)]


def test_the_divergence_is_summed_over_classes():
    # Student (1/4, 1/4, 1/2), teacher (1/2, 1/4, 1/4): 1/2 ln 2 + 0 + 1/4 ln(1/2) = 1/4 ln 2.
    kl = softened_kl(logits([0, 0, log(2)]), logits([log(2), 0, 0]), tau(1))
    assert kl.tolist() == [exactly(log(2) / 4)]


def test_each_network_is_softened_by_its_own_tau():
    # Student (0, 2 ln 3) over tau 2 is (1/4, 3/4), teacher (ln 3, 0) over tau 1 is (3/4, 1/4); the weight is 5.
    own = Temperature(*(torch.tensor(value, dtype=torch.float64) for value in (2.0, 1.0, 5.0)))
    student, teacher = logits([0, 2 * LN3]), logits([LN3, 0])
    assert hkd(student, teacher, LABELS[:1], own, 1.0).item() == exactly(5 * LN3 / 2)
    assert dml(student, teacher, LABELS[:1], own, 1.0).item() == exactly(LN3 / 2)
    # (0 - ln 3, ln 3 - 0): squares 2 (ln 3)^2 over 1 image * 2 classes.
    assert cmc(student, teacher, LABELS[:1], own, 1.0).item() == exactly(LN3**2)


# One tau an image: both rows become (1/4, 3/4) against (3/4, 1/4), the first at tau 1, the second at tau 2.
EACH = Temperature(
    student=torch.tensor([[1.0], [2.0]], dtype=torch.float64),
    teacher=torch.tensor([[1.0], [2.0]], dtype=torch.float64),
    weight=torch.tensor([1.0, 4.0], dtype=torch.float64),
)
EACH_STUDENT = logits([0, LN3], [0, 2 * LN3])
EACH_TEACHER = logits([LN3, 0], [2 * LN3, 0])


def test_hkd_weighs_each_image_with_its_own_tau():
    # KL is (ln 3)/2 for both: mean of 1 * (ln 3)/2 and 4 * (ln 3)/2.
    assert hkd(EACH_STUDENT, EACH_TEACHER, LABELS, EACH, 1.0).item() == exactly((1 + 4) / 2 * LN3 / 2)


def test_the_temperature_of_a_tau_an_image_is_the_one_above():
    drawn = Temperature.same(torch.tensor([[1.0], [2.0]], dtype=torch.float64))
    assert all(torch.equal(getattr(drawn, part), getattr(EACH, part)) for part in ("student", "teacher", "weight"))


def test_the_gradient_of_hkd_is_each_images_own():
    # tau_i^2 * 1/tau_i * (student - teacher) / images: (-1/2, 1/2) / 2 at tau 1, and twice that at tau 2.
    student = EACH_STUDENT.clone().requires_grad_()
    hkd(student, EACH_TEACHER, LABELS, EACH, 1.0).backward()
    assert student.grad.tolist() == [[exactly(-1 / 4), exactly(1 / 4)], [exactly(-1 / 2), exactly(1 / 2)]]


def test_the_labels_share_is_not_weighed_by_the_images_taus():
    # At tau 1 the rows are (1/4, 3/4) and (1/10, 9/10); the labels are 1 and 0.
    ce_of_labels = (log(4 / 3) + log(10)) / 2
    expected = 0.95 * (1 + 4) / 2 * LN3 / 2 + 0.05 * ce_of_labels
    assert hkd(EACH_STUDENT, EACH_TEACHER, LABELS, EACH, 0.95).item() == exactly(expected)


def test_hkd_gives_a_weight_to_its_own_image_and_no_other():
    # The images differ: KL is (ln 3)/2 and 0, so only the first one's weight counts. Mean of 1 * (ln 3)/2 and 0.
    agreeing = logits([LN3, 0], [0, 2 * LN3])
    assert hkd(EACH_STUDENT, agreeing, LABELS, EACH, 1.0).item() == exactly(LN3 / 4)


def test_dml_softens_each_image_by_its_own_tau():
    assert dml(EACH_STUDENT, EACH_TEACHER, LABELS, EACH, 1.0).item() == exactly(LN3 / 2)


def test_cmc_divides_each_image_by_its_own_tau():
    # (-ln 3, ln 3) for both: the mean square is (ln 3)^2.
    assert cmc(EACH_STUDENT, EACH_TEACHER, LABELS, EACH, 1.0).item() == exactly(LN3**2)


@pytest.mark.parametrize("loss", [hkd, cmc, dml])
def test_alpha_0_is_the_labels_alone(loss):
    assert loss(STUDENT, TEACHER, LABELS, tau(2), 0.0).item() == exactly(CE)


@pytest.mark.parametrize(("loss", "expected"), [(hkd, 4 * MEAN_KL), (dml, MEAN_KL), (cmc, LN3**2 / 2)])
def test_alpha_1_is_the_teacher_alone(loss, expected):
    assert loss(STUDENT, TEACHER, LABELS, tau(2), 1.0).item() == exactly(expected)
    assert loss(STUDENT, TEACHER, 1 - LABELS, tau(2), 1.0).item() == exactly(expected)


def gradient(loss, student, teacher, temperature, alpha):
    student = student.clone().requires_grad_()
    loss(student, teacher, torch.tensor([1]), temperature, alpha).backward()
    return student.grad.tolist()[0]


# At tau 2: student (1/4, 3/4), teacher (3/4, 1/4).
ONE_STUDENT, ONE_TEACHER = logits([0, 2 * LN3]), logits([2 * LN3, 0])


def test_the_gradient_of_hkd():
    # tau^2 * 1/tau * (student - teacher) = 2 * (-1/2, 1/2)
    assert gradient(hkd, ONE_STUDENT, ONE_TEACHER, tau(2), 1.0) == [exactly(-1), exactly(1)]


def test_the_gradient_of_dml():
    # 1/tau * (student - teacher) = 1/2 * (-1/2, 1/2)
    assert gradient(dml, ONE_STUDENT, ONE_TEACHER, tau(2), 1.0) == [exactly(-1 / 4), exactly(1 / 4)]


def test_the_gradient_of_cmc():
    # 2 * difference / tau / classes = 2 * (-ln 3, ln 3) / 2 / 2
    assert gradient(cmc, ONE_STUDENT, ONE_TEACHER, tau(2), 1.0) == [exactly(-LN3 / 2), exactly(LN3 / 2)]


def test_the_gradient_of_the_labels_is_unsoftened():
    # Student at tau 1 is (1/10, 9/10), label 1: (1/10, 9/10 - 1)
    assert gradient(hkd, ONE_STUDENT, ONE_TEACHER, tau(2), 0.0) == [exactly(0.1), exactly(-0.1)]
