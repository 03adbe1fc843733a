import inspect

import pytest
import torch

from kdtune.errors import UsageError
from kdtune.specs.component import Component
from kdtune.specs.frozen_model import FrozenModel
from kdtune.temperature.base import PolicyContext, Temperature, TemperaturePolicy
from kdtune.temperature.guarded import GuardedPolicy
from kdtune.temperature.loading import make_policy

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


def test_every_method_of_a_policy_is_passed_on():
    methods = {name for name, member in vars(TemperaturePolicy).items() if inspect.isfunction(member)}
    assert methods - {"__call__"} <= vars(GuardedPolicy).keys()  # which of_step calls


class OfWeight(TemperaturePolicy):
    """Has one weight below the others."""

    class Options(FrozenModel):
        least: float

    def __init__(self, options, context):
        self.least = options.least

    def __call__(self, student_logits, teacher_logits, step):
        tau = torch.full((len(student_logits), 1), 4.0)
        return Temperature(tau, tau, torch.tensor([1.0, self.least, 1.0, 1.0]))


def test_a_negative_weight_is_refused_and_a_weight_of_zero_is_not():
    def checked(least):
        context = PolicyContext(0, torch.device("cpu"), 3, 4)
        epoch_tau(GuardedPolicy("tau.py:OfWeight", OfWeight, OfWeight.Options(least=least), context), 0)

    checked(0.0)
    with pytest.raises(UsageError, match=r"tau.py:OfWeight: the weight is -0.5 in epoch 1; it must not be negative"):
        checked(-0.5)


@pytest.mark.parametrize(
    ("temperature", "teacher"),
    [
        (Component(name="normkd", options={"tau": 2}), LOGITS),  # equal logits, as those of a network's zero layer
        (Component(name="dtkd", options={"tau": 9999}), torch.tensor([[9.0, 1.0, 1.0]]).repeat(4, 1)),
    ],
    ids=["normkd", "dtkd"],
)
def test_a_check_of_a_built_in_policy_allows_what_its_definition_gives(temperature, teacher):
    policy = make_policy(temperature, PolicyContext(0, torch.device("cpu"), 3, 4), guarded=True)
    student = torch.tensor([[1.0, 0.0, 0.5]]).repeat(4, 1)
    policy.begin_epoch(0, 1)
    found = policy.of_step(student, teacher, LABELS, 0)
    low, high = torch.aminmax(torch.cat([found.student, found.teacher]))
    assert float(low) < 1e-4 or float(high) > 1e4
    assert policy.epoch_tau() > 0


def test_a_check_of_a_built_in_policy_requires_a_positive_and_finite_tau():
    policy = make_policy(Component(name="normkd"), PolicyContext(0, torch.device("cpu"), 3, 4), guarded=True)
    policy.begin_epoch(0, 1)
    policy.of_step(torch.full((4, 3), float("nan")), LOGITS, LABELS, 0)
    with pytest.raises(UsageError, match=r"normkd: tau is nan in epoch 1; it has to be positive and finite$"):
        policy.epoch_tau()
