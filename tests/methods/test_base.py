"""What every loss with options keeps to, whatever its name."""

import pytest
import torch

from kdtune.catalog.builtin import LOSSES, is_method
from kdtune.errors import UsageError
from kdtune.methods.base import MethodLoss, Options
from kdtune.methods.loading import loss_of
from kdtune.methods.soft_pairs import SoftPairs
from kdtune.specs.component import Component
from kdtune.temperature.base import Temperature

METHODS = [name for name in LOSSES if is_method(name)]
every_method = pytest.mark.parametrize("name", METHODS)


def drawn(images, classes, scale=1.0, dtype=torch.float32):
    generator = torch.Generator().manual_seed(0)
    return [scale * torch.randn(images, classes, generator=generator, dtype=dtype) for _ in range(2)]


def loss(name, student, teacher, weights=None, temperature=4.0, alpha=0.9, **options):
    temperature = torch.as_tensor(temperature, dtype=student.dtype)
    labels = torch.zeros(len(student), dtype=torch.int64)
    made = loss_of(Component(name=name, options={"alpha": alpha, **options}))

    def of_labels():
        return torch.nn.functional.cross_entropy(student, labels)

    return made(SoftPairs(student, teacher, labels, weights), of_labels, Temperature.same(temperature), alpha)


@every_method
def test_its_options_are_those_of_the_base_class_and_its_own(name):
    assert issubclass(LOSSES.load(name).Options, Options)


@every_method
def test_the_gradient_is_right_and_reaches_the_student_alone(name):
    student, teacher = drawn(3, 5, 2.0, torch.float64)
    student.requires_grad_(), teacher.requires_grad_()
    # Entropies weigh without a gradient, which a numerical one would see.
    if name != "ea":
        assert torch.autograd.gradcheck(lambda one: loss(name, one, teacher.detach()), (student,))
    loss(name, student, teacher.detach()).backward()
    assert teacher.grad is None and student.grad.norm() > 0


@every_method
@pytest.mark.parametrize("scale", [0.0, 1e-30, 1.0, 65504.0, 1e10])
@pytest.mark.parametrize(("images", "classes"), [(1, 2), (4, 1000)])
def test_it_is_finite_whatever_the_logits(name, scale, images, classes):
    student, teacher = drawn(images, classes, scale)
    student.requires_grad_()
    value = loss(name, student, teacher)
    value.backward()
    assert value.isfinite() and student.grad.isfinite().all()


@every_method
def test_bfloat16_gives_nearly_the_same(name):
    student, teacher = drawn(8, 10, 3.0)
    found = loss(name, student.bfloat16(), teacher.bfloat16()).item()
    assert found == pytest.approx(loss(name, student, teacher).item(), rel=0.05)


@every_method
def test_a_student_like_the_teacher_has_no_distillation_to_do_where_both_are_softened_alike(name):
    student, _ = drawn(4, 5)
    value = loss(name, student, student.clone(), label_weight=0.0).item()
    assert value == pytest.approx(0, abs=1e-5) if name not in ("ttm", "wttm") else value > 0.1


@every_method
def test_pairs_are_weighted_in_the_distillation_alone(name):
    student, teacher = drawn(2, 5, dtype=torch.float64)
    first = loss(name, student[:1], teacher[:1], label_weight=0.0)
    weights = torch.tensor([1.0, 0.0], dtype=torch.float64)
    torch.testing.assert_close(loss(name, student, teacher, weights, label_weight=0.0), first / 2)
    labels = loss(name, student, teacher, 0 * weights, label_weight=1.0)
    torch.testing.assert_close(labels, torch.nn.functional.cross_entropy(student, torch.zeros(2, dtype=torch.int64)))


@every_method
def test_it_takes_a_tau_for_each_image(name):
    student, teacher = drawn(2, 5, dtype=torch.float64)
    each = [loss(name, student[i : i + 1], teacher[i : i + 1], temperature=tau) for i, tau in enumerate((2.0, 5.0))]
    both = loss(name, student, teacher, temperature=[[2.0], [5.0]])
    torch.testing.assert_close(both, sum(each) / 2)


@every_method
def test_an_option_that_it_does_not_have_is_named(name):
    with pytest.raises(UsageError, match=f"loss {name}.*wieght"):
        loss(name, *drawn(2, 3), wieght=1.0)


class Halved(MethodLoss):
    """A user's method, named by reference."""

    class Options(Options):
        power: float = 1.0

    def __init__(self, options):
        super().__init__(options)
        self._power = options.power

    def of_pairs(self, student_logits, teacher_logits, temperature, progress):
        return 0.5 * (student_logits - teacher_logits).abs().pow(self._power).sum(dim=1)


def test_a_users_class_is_used_by_reference_with_its_options():
    student, teacher = torch.tensor([[1.0, 5.0]]), torch.tensor([[3.0, 4.0]])
    name = f"{__name__}:Halved"
    assert loss(name, student, teacher, alpha=1.0, power=2.0).item() == 2.5
    with pytest.raises(UsageError, match="Halved.*option power"):
        loss(name, student, teacher, power="high")
