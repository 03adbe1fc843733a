"""TTM and WTTM against values by hand."""

from math import log

import torch

from kdtune.methods.ttm import Options, Ttm, WeightedOptions, Wttm
from tests.methods.by_hand import exactly, logits, tau

LN3 = log(3)

# At tau 2 the teacher's outputs (1/10, 9/10) become (1/4, 3/4); the student's plain ones are (3/4, 1/4). KL (ln 3)/2.
# The sum of the powers 1/2 of the teacher's outputs is (1 + 3) / sqrt(10).
STUDENT, TEACHER, LABELS = logits([LN3, 0]), logits([0, 2 * LN3]), torch.tensor([1])
KL, POWERS, CE = LN3 / 2, 4 / 10**0.5, log(4)


def test_only_the_teacher_is_softened_and_there_is_no_tau_squared():
    assert Ttm(Options(weight=1, label_weight=0))(STUDENT, TEACHER, LABELS, tau(2), 0.5).item() == exactly(KL)


def test_the_weights_are_those_of_the_examples_unless_given():
    assert Ttm(Options())(STUDENT, TEACHER, LABELS, tau(2), 0.5).item() == exactly(45 * KL + CE)
    assert Wttm(WeightedOptions())(STUDENT, TEACHER, LABELS, tau(2), 0.5).item() == exactly(4 * POWERS * KL + CE)


def test_each_image_is_weighted_by_its_own_powers():
    # A certain teacher has the sum 1: outputs (0, 1) against the student's (1/2, 1/2), KL ln 2.
    student, teacher = logits([LN3, 0], [0, 0]), logits([0, 2 * LN3], [-2000, 2000])
    found = Wttm(WeightedOptions(weight=1, label_weight=0))(student, teacher, LABELS.repeat(2), tau(2), 0.5).item()
    assert found == exactly((POWERS * KL + log(2)) / 2)
