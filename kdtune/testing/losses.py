"""What every loss has to satisfy.

A test module of one's own has a class that names the loss, and inherits all tests::

    from kdtune.testing.losses import LossConformance


    class TestMine(LossConformance):
        component = {"ref": "my_package.my_module:mine", "power": 2.0}
        is_divergence = True
"""

from functools import partial
from typing import ClassVar

import pytest
import torch

from kdtune.catalog.builtin import LOSSES
from kdtune.errors import UsageError
from kdtune.methods.loading import DistillationLoss, loss_of, softness_of
from kdtune.methods.soft_pairs import SoftPairs
from kdtune.specs.component import Component
from kdtune.specs.suggestion import Suggestion
from kdtune.specs.temperature_range import TAU_RANGE
from kdtune.temperature.base import Temperature
from kdtune.testing.component_under_test import ComponentConformance
from kdtune.testing.gradients import check_gradient, leaves
from kdtune.testing.logits import BATCH, CASES, CLASSES, labels_of, normal
from kdtune.testing.trainings import TrainingConformance

#: Weight of the distillation term.
ALPHA = 0.9

#: Temperatures of the batch, and one for each image.
TAU, TAUS = torch.tensor(4.0), torch.tensor([[2.0], [3.0], [5.0], [7.0]])


class LossConformance(TrainingConformance, ComponentConformance):
    """Tests of one loss; a subclass has the attribute ``component`` or the fixture ``loss``.

    Attributes:
        is_divergence: Whether the distillation term is 0, its least value, where the logits of student and teacher are
            equal and have one tau.
        depends_on_image_alone: Whether the term of an image does not depend on the other images of its batch.
        stops_gradients: Whether a part of the loss, such as the weight of an image, is meant to have no gradient, so
            that the gradient of the whole is not the numerical one.
    """

    is_divergence: ClassVar[bool] = False
    depends_on_image_alone: ClassVar[bool] = True
    stops_gradients: ClassVar[bool] = False

    @pytest.fixture
    def loss(self) -> Component:
        """The loss by reference, with its options."""
        return self.named("loss")

    @pytest.fixture
    def suggestion(self, loss: Component) -> Suggestion:
        """A training with the loss."""
        return Suggestion(values={"tau": 4}, method=loss)

    def test_an_unknown_option_is_refused(self, loss: Component) -> None:
        """A misspelt option is an error that names it, not ignored."""
        unknown = loss.model_copy(update={"options": {**loss.options, "no_such_option": 1}})
        try:
            loss_of(unknown)
        except UsageError as error:
            assert "no_such_option" in str(error), f"the message does not name the unknown option: {error}"
            return
        pytest.fail("the loss accepts any option; name its options in place of **options")

    def test_it_returns_the_mean_over_the_batch(self, loss: Component) -> None:
        """The loss of a batch is that of the same batch twice over."""
        student, teacher = _logits()
        once = computed(loss, student, teacher)
        twice = computed(loss, student.repeat(2, 1), teacher.repeat(2, 1), labels=labels_of(student).repeat(2))
        assert twice.item() == pytest.approx(once.item(), rel=1e-9), (
            f"the loss has to be the mean over the batch: {once.item()}, and {twice.item()} with every image twice"
        )

    @pytest.mark.parametrize("case", CASES)
    def test_it_is_finite_for_unusual_logits_at_any_tau(self, loss: Component, case: str) -> None:
        """The loss and its gradient are finite whatever the logits, at the lowest and highest tau and between."""
        for tau in (TAU_RANGE[0], 1.0, 4.0, TAU_RANGE[1]):
            student, teacher = CASES[case]()
            student.requires_grad_()
            found = computed(loss, student, teacher, torch.tensor(tau))
            found.backward()
            assert found.isfinite(), f"{case}, tau {tau}: the loss is {found.item()}"
            if softness := softness_of(loss):
                own = softness(student.detach(), teacher, Temperature.same(torch.tensor(tau)))
                divisors = torch.cat([own.student, own.teacher])
                assert divisors.isfinite().all() and (divisors > 0).all(), (
                    f"{case}, tau {tau}: softness() has to give a positive and finite temperature, but gives {own}"
                )
            assert student.grad is not None and student.grad.isfinite().all(), (
                f"{case}, tau {tau}: the gradient with respect to the student's logits is not finite"
            )

    def test_the_gradient_reaches_the_student_alone(self, loss: Component) -> None:
        """The loss has a gradient with respect to the student's logits, which is not 0, and to nothing else."""
        student, teacher = _logits()
        student.requires_grad_()
        found = computed(loss, student, teacher)
        for leaf in leaves(found):
            assert leaf is student, f"the loss has a gradient with respect to another tensor, {tuple(leaf.shape)}"
        found.backward()
        assert student.grad is not None and bool(student.grad.norm() > 0), "the student's logits have no gradient"

    def test_the_gradient_is_the_numerical_one(self, loss: Component) -> None:
        """In float64, the gradient equals finite differences, for one tau and for one per image."""
        if self.stops_gradients:
            pytest.skip("a part of the loss is meant to have no gradient")
        student, teacher = _logits(scale=2.0)
        student.requires_grad_()
        for tau in (TAU, TAUS):
            check_gradient(partial(_of_logits, loss, teacher, tau), student)

    def test_it_changes_nothing_that_it_is_given(self, loss: Component) -> None:
        """The loss is a pure function: it changes no argument, draws no random number, and gives the same twice."""
        student, teacher = _logits()
        temperature, labels = Temperature.same(TAU.double()), labels_of(student)
        given = (student, teacher, labels, temperature.student, temperature.teacher, temperature.weight)
        before, draws = [tensor.clone() for tensor in given], torch.get_rng_state()
        found = [called(loss_of(loss), loss, student, teacher, labels, temperature) for _ in range(2)]
        assert all(map(torch.equal, given, before)), "the loss changes a tensor in place that it was given; copy it"
        assert torch.equal(*found), f"the loss differs between two calls with the same arguments: {found}"
        assert torch.equal(torch.get_rng_state(), draws), "the loss draws from torch's global generator"

    def test_a_student_like_the_teacher_has_the_least_loss(self, loss: Component) -> None:
        """A divergence is 0 for equal logits at one tau, and above 0 for others."""
        if not self.is_divergence:
            pytest.skip("the loss is not declared as a divergence")
        student, teacher = _logits()
        equal, other = (_distillation(loss, one, teacher) for one in (teacher.clone(), student))
        assert equal == pytest.approx(0, abs=1e-9), f"the distillation term is {equal} for equal logits, but must be 0"
        assert other > 1e-6, f"the distillation term is {other} for different logits, but must be above 0"

    def test_it_takes_a_tau_for_each_image(self, loss: Component) -> None:
        """The loss with a tau of (batch, 1) is the mean of those of the images."""
        student, teacher = _logits()
        labels = labels_of(student)
        if self.depends_on_image_alone:
            images = [slice(place, place + 1) for place in range(BATCH)]
            each = [computed(loss, student[i], teacher[i], TAUS[i], labels[i]).item() for i in images]
            expected, found = sum(each) / BATCH, computed(loss, student, teacher, TAUS).item()
        else:
            expected, found = (computed(loss, student, teacher, tau).item() for tau in (TAU, TAU.expand(BATCH, 1)))
        assert found == pytest.approx(expected, rel=1e-6), (
            f"with a tau for each image, the loss is {found}, but {expected} is expected; the weight of the "
            "distillation term is (batch,), and multiplies the term of each image before the mean"
        )

    def test_pairs_are_weighted_in_the_distillation_alone(self, loss: Component) -> None:
        """Weights of pairs multiply the distillation term of each, and the loss with the labels is the task's."""
        student, teacher = _logits()
        weights = torch.zeros(BATCH, dtype=torch.float64)
        try:
            labels_alone = [
                computed(loss, student, teacher, weights=weights, label_loss=value).item() for value in (1.0, 2.0)
            ]
        except UsageError:
            pytest.skip("the loss accepts no weights of pairs, so that it serves unweighted classification alone")
        assert labels_alone[1] == pytest.approx(2 * labels_alone[0]), (
            "with pair_weights of 0, the loss has to be proportional to label_loss(), but is "
            f"{labels_alone} for values of 1 and 2"
        )
        if self.depends_on_image_alone and _needs_teacher(loss):
            weights[0] = 1
            found = computed(loss, student, teacher, weights=weights, label_loss=0.0).item()
            alone = computed(loss, student[:1], teacher[:1], label_loss=0.0).item()
            assert found == pytest.approx(alone / BATCH), (
                f"with the weight 1 of the first of {BATCH} images and 0 of all others, the distillation term has to "
                f"be {alone / BATCH}, but is {found}"
            )

    def test_it_waits_for_no_value_of_the_device(self, loss: Component) -> None:
        """The loss reads no value from the device: a step could not be captured as a CUDA graph.

        On the ``meta`` device, tensors have no values, so that ``item()``, ``tolist()`` and ``if tensor`` fail.
        """
        student, teacher = (logits.to("meta") for logits in _logits())
        student.requires_grad_()
        try:
            found = computed(loss, student, teacher, TAU.to("meta"), labels_of(student).to("meta"))
            found.backward()
        except (RuntimeError, NotImplementedError) as error:
            pytest.fail(
                "the loss reads a value from the device, or makes a tensor on another one; replace item(), tolist(), "
                f"float(tensor) and 'if tensor' by tensor operations: {error}"
            )


def _logits(scale: float = 1.0) -> tuple[torch.Tensor, torch.Tensor]:
    """Return logits of student and teacher, float64, (4, 5)."""
    return scale * normal(BATCH, CLASSES, 0).double(), scale * normal(BATCH, CLASSES, 1).double()


def _of_logits(loss: Component, teacher: torch.Tensor, tau: torch.Tensor, student: torch.Tensor) -> torch.Tensor:
    """Return the loss as a function of its last argument, the student's logits."""
    return computed(loss, student, teacher, tau)


def _distillation(loss: Component, student: torch.Tensor, teacher: torch.Tensor) -> float:
    """Return the distillation term, without the loss with the labels."""
    made, temperature = loss_of(loss), Temperature.same(TAU.double())
    return called(made, loss, student, teacher, labels_of(student), temperature, label_loss=0.0, alpha=1.0).item()


def _needs_teacher(loss: Component) -> bool:
    return bool(LOSSES.facts_of(loss.name).get("needs_teacher", True))


def computed(
    loss: Component,
    student: torch.Tensor,
    teacher: torch.Tensor,
    tau: torch.Tensor = TAU,
    labels: torch.Tensor | None = None,
    weights: torch.Tensor | None = None,
    label_loss: float | None = None,
) -> torch.Tensor:
    """Return a loss as a training computes it.

    Args:
        loss: The loss with its options.
        student: Logits of the student, (n, classes).
        teacher: Logits of the teacher, (n, classes).
        tau: 0-d, or (n, 1) with one tau per image.
        labels: (n,); see :func:`labels_of` unless given.
        weights: Weights of the pairs, (n,).
        label_loss: Value of the loss with the labels; computed unless given.
    """
    precision = torch.promote_types(student.dtype, torch.float32)
    labels = labels_of(student) if labels is None else labels
    temperature = Temperature.same(tau.to(precision))
    return called(loss_of(loss), loss, student, teacher, labels, temperature, weights, label_loss)


def called(
    made: DistillationLoss,
    loss: Component,
    student: torch.Tensor,
    teacher: torch.Tensor,
    labels: torch.Tensor,
    temperature: Temperature,
    weights: torch.Tensor | None = None,
    label_loss: float | None = None,
    alpha: float = ALPHA,
) -> torch.Tensor:
    """Call a loss as a training step does."""
    value = torch.nn.functional.cross_entropy(student, labels) if label_loss is None else torch.tensor(label_loss)
    if _needs_teacher(loss):
        return made(SoftPairs(student, teacher, labels, weights), lambda: value, temperature, alpha)
    return made(SoftPairs(student, None, labels, weights), lambda: value, None, alpha)
