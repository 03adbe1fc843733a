import pytest
import torch

from kdtune.errors import UsageError
from kdtune.specs.frozen_model import FrozenModel
from kdtune.temperature.base import PolicyContext, Temperature, TemperaturePolicy
from kdtune.temperature.guarded import GuardedPolicy

LOGITS = torch.zeros(4, 3)
LABELS = torch.zeros(len(LOGITS), dtype=torch.int64)


class Jumping(TemperaturePolicy):
    """Is out of range in its second epoch alone."""

    Options = FrozenModel

    def begin_epoch(self, epoch, steps):
        self.epoch = epoch

    def __call__(self, student_logits, teacher_logits, step):
        tau = torch.full((len(student_logits), 1), 4.0)
        tau[1] = 1e-5 if self.epoch == 1 and step == 1 else 1e-4
        return Temperature.same(tau)

    def epoch_tau(self):
        return torch.tensor(2.5)

    def state_dict(self):
        return {"epoch": self.epoch}


@pytest.fixture
def policy():
    return GuardedPolicy("tau.py:Jumping", Jumping, FrozenModel(), PolicyContext(0, torch.device("cpu"), 3, 4))


def epoch_tau(policy, epoch):
    policy.begin_epoch(epoch, 2)
    for step in range(2):
        policy.of_step(LOGITS, LOGITS, LABELS, step)
    return policy.epoch_tau()


def test_a_tau_out_of_range_ends_the_training_with_its_epoch(policy):
    assert epoch_tau(policy, 0) == 2.5  # the smallest tau that is allowed, as float32 has it, is not refused
    with pytest.raises(UsageError, match=r"tau.py:Jumping: tau is 1e-05 in epoch 2; it has to lie between 0.0001"):
        epoch_tau(policy, 1)
    assert epoch_tau(policy, 2) == 2.5
    assert policy.state_dict() == {"epoch": 2}


def test_a_shape_that_does_not_fit_the_batch_is_refused_in_its_step(policy):
    policy.begin_epoch(0, 1)
    half = policy.of_step(LOGITS[:2], LOGITS[:2], LABELS[:2], 0)
    with pytest.raises(UsageError, match=r"student has the shape \(2, 1\); it has to be \(\) or \(4, 1\)"):
        policy._check_shapes("__call__()", half, [(), (4, 1)], [(), (4,)])
