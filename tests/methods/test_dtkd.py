"""The whole loss of DTKD against values by hand."""

from math import log

import pytest
import torch

from kdtune.methods.dtkd import DynamicTemperature, Options
from tests.methods.by_hand import exactly, logits, tau

LN3 = log(3)

# Greatest logits 2 ln 3 (student) and 6 ln 3 (teacher) at tau 2: tau_s = 4 * 2/8 = 1 and tau_t = 4 * 6/8 = 3.
# The outputs are (1/10, 9/10) and (9/10, 1/10), whose KL is 0.8 * 2 ln 3; the term is tau_s tau_t KL.
# At tau 2 they are (1/4, 3/4) and (27/28, 1/28): KL is 27/28 ln(27/7) + 1/28 ln(1/21); the term is 4 KL.
STUDENT, TEACHER, LABELS = logits([0, 2 * LN3]), logits([6 * LN3, 0]), torch.tensor([1])
DYNAMIC = 3 * 1.6 * LN3
FIXED = 4 * (27 / 28 * log(27 / 7) - 1 / 28 * log(21))
CE = log(10 / 9)


def loss(progress=None, **options):
    progress = None if progress is None else torch.tensor(progress, dtype=torch.float64)
    return DynamicTemperature(Options(**options))(STUDENT, TEACHER, LABELS, tau(2), 0.5, progress=progress).item()


def test_the_three_terms_have_the_weights_of_the_authors():
    assert loss() == exactly(3 * DYNAMIC + FIXED + CE)


@pytest.mark.parametrize(("progress", "share"), [(1 / 240, 1 / 20), (10 / 240, 1 / 2), (20 / 240, 1), (1.0, 1)])
def test_the_distillation_grows_during_the_first_twelfth_of_the_epochs(progress, share):
    assert loss(progress) == exactly(share * (3 * DYNAMIC + FIXED) + CE)


def test_every_weight_and_the_ramp_are_options():
    given = loss(0.25, weight=2, label_weight=0, dynamic_weight=0.5, fixed_weight=0, ramp=0.5)
    assert given == exactly(2 * 0.5 * 0.5 * DYNAMIC)
    assert loss(0.25, ramp=0, label_weight=0) == exactly(3 * DYNAMIC + FIXED)
