"""Several temperatures at once against values by hand."""

from math import log

import pytest
import torch

from kdtune.methods.losses import hkd
from kdtune.methods.multi import MultiTemperature, Options
from tests.methods.by_hand import exactly, logits, tau

LABELS = torch.tensor([1])


def test_it_is_the_mean_of_tau_squared_kl_over_the_temperatures():
    # Logits (0, 2 ln 3) and (2 ln 3, 0): at tau 2 the outputs are (1/4, 3/4) and (3/4, 1/4), with KL (ln 3)/2; at tau 1
    # they are (1/10, 9/10) and (9/10, 1/10), with KL 0.8 * 2 ln 3.
    student, teacher = logits([0, 2 * log(3)]), logits([2 * log(3), 0])
    loss = MultiTemperature(Options(factors=(0.5, 1.0), label_weight=0, weight=1))
    assert loss(student, teacher, LABELS, tau(2), 0.5).item() == exactly((4 * log(3) / 2 + 1.6 * log(3)) / 2)


def test_at_tau_4_the_set_is_the_published_one_and_alpha_weighs_both_terms():
    student, teacher = logits([1, 2, 5], [0, 3, -1]), logits([4, 2, 0], [1, 1, 2])
    labels = torch.tensor([0, 2])
    each = [hkd(student, teacher, labels, tau(one), 0.9).item() for one in (2, 3, 4, 5, 6)]
    assert MultiTemperature(Options())(student, teacher, labels, tau(4), 0.9).item() == exactly(sum(each) / 5)


def test_a_set_without_a_temperature_is_refused():
    with pytest.raises(ValueError, match="factors"):
        Options(factors=())
