"""The conformance suite over every registered loss."""

import pytest
import torch

from kdtune.catalog.builtin import LOSSES, is_method
from kdtune.methods.base import Options
from kdtune.specs.component import Component
from kdtune.specs.suggestion import Suggestion
from kdtune.testing.losses import LossConformance, computed

#: Only the teacher's outputs are softened, so that equal logits do not have equal outputs.
SOFTENS_THE_TEACHER_ALONE = ("ttm", "wttm")

#: Phases decide tau themselves, and soften the teacher's logits alone.
HAS_PHASES = tuple(name for name in LOSSES if LOSSES.facts_of(name).get("has_phases"))

#: Entropies weigh the images, or the greatest logit gives their tau, without a gradient.
STOPS_GRADIENTS = ("ea", "max-logit")

#: Without a teacher there is nothing to diverge from.
WITHOUT_TEACHER = ("ce",)

OTHERS = SOFTENS_THE_TEACHER_ALONE + HAS_PHASES + STOPS_GRADIENTS + WITHOUT_TEACHER

METHODS = [name for name in LOSSES if is_method(name)]

#: Options other than the default ones, with which more of a method is at work in a short training.
OPTIONS = {"dtkd": {"ramp": 0.9}, "ttm": {"weight": 2.0}, "wttm": {"weight": 0.5}, "annealing": {"levels": 2}}


def losses(names):
    return pytest.fixture(params=[Component(name=name, options=OPTIONS.get(name, {})) for name in names], ids=str)


class TestDivergences(LossConformance):
    is_divergence = True

    @losses([name for name in LOSSES if name not in OTHERS])
    def loss(self, request):
        return request.param


class TestDivergencesThatStopGradients(LossConformance):
    is_divergence = stops_gradients = True

    @losses(STOPS_GRADIENTS)
    def loss(self, request):
        return request.param


class TestOthers(LossConformance):
    @losses(SOFTENS_THE_TEACHER_ALONE + WITHOUT_TEACHER)
    def loss(self, request):
        return request.param


class TestPhases(LossConformance):
    @losses(HAS_PHASES)
    def loss(self, request):
        return request.param

    @pytest.fixture
    def suggestion(self, loss):
        return Suggestion(method=loss)


@pytest.mark.parametrize("name", METHODS)
def test_options_derive_from_those_of_all_methods(name):
    assert issubclass(LOSSES.load(name).Options, Options)


@pytest.mark.parametrize("name", SOFTENS_THE_TEACHER_ALONE)
def test_a_student_like_the_teacher_still_learns_where_the_teacher_alone_is_softened(name):
    logits = torch.randn(4, 5, generator=torch.Generator().manual_seed(0))
    assert computed(Component(name=name), logits, logits.clone(), label_loss=0.0) > 0.1


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("scale", [1e-30, 65504.0, 1e10])
@pytest.mark.parametrize(("images", "classes"), [(1, 2), (4, 1000)])
def test_built_in_losses_are_finite_whatever_the_logits(name, scale, images, classes):
    generator = torch.Generator().manual_seed(0)
    student, teacher = (scale * torch.randn(images, classes, generator=generator) for _ in range(2))
    student.requires_grad_()
    value = computed(Component(name=name), student, teacher)
    value.backward()
    assert value.isfinite() and student.grad.isfinite().all()
