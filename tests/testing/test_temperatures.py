"""The conformance suite of temperatures refuses those that break a rule, and says which."""

import pytest
import torch
from pydantic import BaseModel

from kdtune.specs.frozen_model import FrozenModel
from kdtune.temperature.base import Temperature, TemperaturePolicy
from kdtune.testing.temperatures import TemperatureConformance
from tests.testing.refusal import refuses


class Options(FrozenModel):
    """No options."""


class Policy(TemperaturePolicy):
    Options = Options

    def __init__(self, options, context):
        self.context = context
        self.drawn = torch.Generator().manual_seed(context.seed)

    def __call__(self, student_logits, teacher_logits, step):
        return Temperature.same(self.tau(student_logits))


class OfPythonNumbers(Policy):
    def __call__(self, student_logits, teacher_logits, step):
        return Temperature(4.0, 4.0, 16.0)


class Flat(Policy):
    def tau(self, logits):
        return torch.ones(len(logits))


class Negative(Policy):
    def tau(self, logits):
        return torch.tensor(-1.0)


class Undefined(Policy):
    def tau(self, logits):
        return logits.float().amax(1, keepdim=True).clamp(min=0.5) / (logits.float().std(1, keepdim=True))


class OfGlobalDraws(Policy):
    def tau(self, logits):
        return 1 + torch.rand(())


class WithoutState(Policy):
    def tau(self, logits):
        return 1 + torch.rand((), generator=self.drawn)


class Waiting(Policy):
    def tau(self, logits):
        return torch.full((), 4.0 if logits.max().item() > 0 else 5.0)


class Learned(Policy):
    def __init__(self, options, context):
        super().__init__(options, context)
        self.learned = torch.ones(1, requires_grad=True)

    def tau(self, logits):
        return self.learned.sum() + 1


class Rounded(Policy):
    def tau(self, logits):
        return 1 + logits.float().square().mean(1, keepdim=True)


class OtherSchedule(Policy):
    depends_on_logits = False

    def tau(self, logits):
        return torch.tensor(4.0)

    def scheduled(self, sizes):
        return Temperature.of_steps(torch.full((len(sizes),), 5.0))


class OtherWeight(Policy):
    def __call__(self, student_logits, teacher_logits, step):
        return Temperature(*torch.tensor([2.0, 3.0, 5.0]))


class OtherMean(Policy):
    def tau(self, logits):
        return torch.tensor(4.0)

    def epoch_tau(self):
        return 5.0


class AnyOption(Policy):
    class Options(BaseModel):
        """Ignores what it does not know."""


@pytest.mark.parametrize(
    ("policy", "check", "message", "arguments"),
    [
        (Options, "test_it_follows_the_protocol", "derived from .*TemperaturePolicy", ()),
        (AnyOption, "test_an_unknown_option_is_refused", "accepts an unknown option", ()),
        (OfPythonNumbers, "test_tau_is_a_tensor_for_the_batch_or_for_each_image", "has to be a tensor", ()),
        (Flat, "test_tau_is_a_tensor_for_the_batch_or_for_each_image", r"shape \(4,\).*\(4, 1\)", ()),
        (Negative, "test_tau_is_finite_and_positive_in_every_epoch", "student has to be above 0", ()),
        (Undefined, "test_it_is_sound_for_unusual_logits", "logits of 0: student has to be finite", ("logits of 0",)),
        (OtherWeight, "test_the_weight_is_tau_squared_unless_the_policy_declares_another", "product of both", ()),
        (OfGlobalDraws, "test_torchs_own_generator_is_never_moved", "draws from torch's global generator", ()),
        (OfGlobalDraws, "test_draws_depend_on_nothing_that_ran_before", "depends on torch's global", ()),
        (OfGlobalDraws, "test_the_same_seed_gives_the_same", "epoch 0 differs", ()),
        (WithoutState, "test_a_state_that_was_taken_does_not_move_with_the_policy", "return copies", ()),
        (OtherMean, "test_the_epochs_tau_is_the_mean_over_its_steps", "mean of the student's tau, 4.0, but .* 5.0", ()),
        (OtherSchedule, "test_scheduled_values_equal_those_of_calls", r"scheduled\(\) gives", ()),
        (Learned, "test_gradients_flow_to_the_students_logits_alone", r"tensor of shape \(1,\)", ()),
        (Rounded, "test_the_gradient_of_the_loss_is_the_numerical_one", "rounded to float32", ()),
        (Waiting, "test_no_step_waits_for_the_device", "reads a value from the device", ()),
    ],
)
def test_a_faulty_temperature_is_refused(policy, check, message, arguments):
    refuses(TemperatureConformance, check, policy, message, *arguments)


def test_a_policy_without_its_state_is_refused(tmp_path):
    check = "test_a_resumed_policy_goes_on_with_the_exact_sequence"
    refuses(TemperatureConformance, check, WithoutState, "after a resumption at epoch 1, epoch 1 differs", 1, tmp_path)
