"""The conformance suite of losses refuses those that break a rule, and says which."""

import pytest
import torch

from kdtune.testing.losses import LossConformance
from tests.testing.refusal import refuses


def squares(student, teacher):
    return (student - teacher).square().mean(1)


def any_option(student_logits, teacher_logits, labels, temperature, alpha, **options):
    return squares(student_logits, teacher_logits).mean()


def of_images(student_logits, teacher_logits, labels, temperature, alpha):
    return squares(student_logits, teacher_logits)


def summed(student_logits, teacher_logits, labels, temperature, alpha):
    return squares(student_logits, teacher_logits).sum()


def unstable(student_logits, teacher_logits, labels, temperature, alpha):
    return ((student_logits / temperature.student).softmax(1).log() * teacher_logits.softmax(1)).sum(1).mean()


def detached(student_logits, teacher_logits, labels, temperature, alpha):
    return squares(student_logits.detach(), teacher_logits).mean()


def partly_detached(student_logits, teacher_logits, labels, temperature, alpha):
    return (student_logits.detach().exp() * student_logits).mean()


def in_place(student_logits, teacher_logits, labels, temperature, alpha):
    return squares(student_logits, teacher_logits.sub_(teacher_logits.mean())).mean()


def drawn(student_logits, teacher_logits, labels, temperature, alpha):
    return squares(student_logits, teacher_logits + torch.randn_like(teacher_logits)).mean()


def no_divergence(student_logits, teacher_logits, labels, temperature, alpha):
    return 1 + squares(student_logits, teacher_logits).mean()


def spread(student_logits, teacher_logits, labels, temperature, alpha):
    """The weight (batch,) multiplies a column (batch, 1), which gives (batch, batch)."""
    difference = (student_logits - teacher_logits) / temperature.student
    return (temperature.weight * difference.square().mean(1, keepdim=True)).mean()


def weighs_labels(student_logits, teacher_logits, labels, temperature, alpha, label_loss=None, pair_weights=None):
    return squares(student_logits, teacher_logits).mean() + label_loss()


def waits(student_logits, teacher_logits, labels, temperature, alpha):
    return squares(student_logits, teacher_logits).mean() / float(temperature.student)


class Declared(LossConformance):
    is_divergence = True


@pytest.mark.parametrize(
    ("loss", "check", "message", "arguments"),
    [
        (any_option, "test_an_unknown_option_is_refused", "name its options in place of", ()),
        (of_images, "test_it_returns_the_mean_over_the_batch", "return a 0-d tensor", ()),
        (summed, "test_it_returns_the_mean_over_the_batch", "has to be the mean over the batch", ()),
        (unstable, "test_it_is_finite_for_unusual_logits_at_any_tau", "tau 0.0001: ", ("1,000 classes",)),
        (detached, "test_the_gradient_reaches_the_student_alone", "its result has no gradient", ()),
        (partly_detached, "test_the_gradient_is_the_numerical_one", "is not the numerical one; a part of", ()),
        (in_place, "test_it_changes_nothing_that_it_is_given", "changes a tensor in place", ()),
        (drawn, "test_it_changes_nothing_that_it_is_given", "differs between two calls", ()),
        (no_divergence, "test_a_student_like_the_teacher_has_the_least_loss", "for equal logits, but must be 0", ()),
        (spread, "test_it_takes_a_tau_for_each_image", "with a tau for each image, the loss is", ()),
        (weighs_labels, "test_pairs_are_weighted_in_the_distillation_alone", "proportional to label_loss", ()),
        (waits, "test_it_waits_for_no_value_of_the_device", "reads a value from the device", ()),
    ],
)
def test_a_faulty_loss_is_refused(loss, check, message, arguments):
    refuses(Declared, check, loss, message, *arguments)
