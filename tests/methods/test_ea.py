"""Entropy weights against values by hand."""

from math import log

import pytest
import torch

from kdtune.methods.ea import EntropyAdaptive, Options
from tests.methods.by_hand import exactly, logits, tau

LN3 = log(3)

# At the temperature 3 of the entropies, logits (0, 3 ln 3) are (1/4, 3/4), whose entropy is 2 ln 2 - (3/4) ln 3.
H = 2 * log(2) - 0.75 * LN3
STUDENT, TEACHER, LABELS = logits([0, 3 * LN3]), logits([3 * LN3, 0]), torch.tensor([1])
# At tau 3 the outputs are (1/4, 3/4) and (3/4, 1/4): tau^2 KL is 9 (ln 3)/2.
TERM = 9 * LN3 / 2


def test_each_image_is_weighted_by_both_entropies():
    loss = EntropyAdaptive(Options(weight=1, label_weight=0))
    assert loss(STUDENT, TEACHER, LABELS, tau(3), 0.5).item() == exactly((H + H * H / 100) / 2 * TERM)
    # A teacher that is certain of an image gives it no weight.
    both = loss(STUDENT.repeat(2, 1), torch.cat([TEACHER, logits([9000, -9000])]), LABELS.repeat(2), tau(3), 0.5)
    assert both.item() == exactly((H + H * H / 100) / 2 * TERM / 2)


def test_the_bound_is_an_option_and_alpha_weighs_both_terms():
    ce = log(28 / 27)  # of logits 0 and 3 ln 3, label 1
    found = EntropyAdaptive(Options(upper_bound=log(2)))(STUDENT, TEACHER, LABELS, tau(3), 0.9).item()
    assert found == exactly(0.9 * (H + H * H / log(2)) / 2 * TERM + 0.1 * ce)


def test_the_weight_has_no_gradient():
    # tau^2 KL has the gradient tau (student - teacher) = 3 (-1/2, 1/2) at tau 3.
    student = STUDENT.clone().requires_grad_()
    EntropyAdaptive(Options(weight=1, label_weight=0))(student, TEACHER, LABELS, tau(3), 0.5).backward()
    weight = (H + H * H / 100) / 2
    assert student.grad.tolist()[0] == [exactly(-1.5 * weight), exactly(1.5 * weight)]


def test_the_temperature_of_the_entropies_is_not_tau():
    # At tau 6, tau^2 KL changes, and the weight does not.
    loss = EntropyAdaptive(Options(weight=1, label_weight=0))
    uniform = logits([0, 0])
    odds = 3**0.5  # the teacher's outputs at tau 6 are in the ratio 3^(1/2)
    kl = odds / (1 + odds) * log(2 * odds / (1 + odds)) + 1 / (1 + odds) * log(2 / (1 + odds))
    assert loss(uniform, TEACHER, LABELS, tau(6), 0.5).item() == pytest.approx((H + H * log(2) / 100) / 2 * 36 * kl)
