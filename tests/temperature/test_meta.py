"""Temperatures by meta-gradients: of second order, on images that nothing else uses."""

import pytest
import torch

from kdtune.errors import UsageError
from kdtune.specs.meta_part import MetaPart
from kdtune.temperature.base import PolicyContext, Temperature
from kdtune.temperature.meta import Meta, Options
from kdtune.training.look_ahead import HeldOutImages, LookAhead
from tests.recipes import recipe_of

POINT = {"temperature": "meta", "every": 2, "beta": 5.0, "held_out": 0.2}


@pytest.fixture
def look_ahead(training):
    """Return a look-ahead in float64 before the first step of a training."""
    ours = training(POINT)
    ours.model.double().train()
    train = ours._splits.train
    index = torch.arange(20, 36)
    images, targets = train.batch(index, None)
    held_out, labels = train.batch(torch.arange(8), None)
    teacher = torch.randn(16, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(1)) * 5
    step = ours._training_step
    object.__setattr__(step, "arithmetic", InFloat64())
    return LookAhead(
        *(step, images.double(), targets, index, lambda images, index: teacher, torch.ones(())),
        held_out=(held_out.double(), labels),
    )


class InFloat64:
    """The arithmetic of networks in float64."""

    def logits(self, model, images):
        return model(images)


def loss_at(look_ahead, student, teacher, rate=0.3):
    taus = [torch.tensor(tau, dtype=torch.float64, requires_grad=True) for tau in (student, teacher)]
    return look_ahead.held_out_loss(lambda: Temperature(*taus, taus[0] * taus[1]), rate), taus


def test_the_gradient_of_second_order_is_the_numerical_one(look_ahead):
    loss, taus = loss_at(look_ahead, 3.0, 5.0)
    slopes = torch.autograd.grad(loss, taus)
    h = 1e-4
    for slope, (up, down) in zip(slopes, [((3 + h, 5.0), (3 - h, 5.0)), ((3.0, 5 + h), (3.0, 5 - h))], strict=True):
        numerical = (loss_at(look_ahead, *up)[0] - loss_at(look_ahead, *down)[0]).item() / (2 * h)
        assert abs(numerical) > 1e-7
        assert slope.item() == pytest.approx(numerical, rel=1e-4)


def test_both_passes_of_a_network_with_dropout_draw_the_same(look_ahead):
    model = look_ahead.step.model
    model.classifier = torch.nn.Sequential(torch.nn.Dropout(0.5), model.classifier)

    def at(tau):
        torch.manual_seed(7)
        return loss_at(look_ahead, tau, 5.0)

    loss, taus = at(3.0)
    after = torch.get_rng_state()
    [slope, _] = torch.autograd.grad(loss, taus)
    numerical = (at(3 + 1e-4)[0] - at(3 - 1e-4)[0]).item() / 2e-4
    assert slope.item() == pytest.approx(numerical, rel=1e-4) and abs(numerical) > 1e-7
    assert torch.equal(after, torch.get_rng_state())


class Squared(torch.autograd.Function):
    """A function without a derivative in forward mode."""

    @staticmethod
    def forward(ctx, values):
        ctx.save_for_backward(values)
        return values.square()

    @staticmethod
    def backward(ctx, gradient):
        return 2 * ctx.saved_tensors[0] * gradient


def test_a_network_without_derivatives_in_forward_mode_is_refused(look_ahead):
    class Layer(torch.nn.Module):
        def forward(self, values):
            return Squared.apply(values)

    model = look_ahead.step.model
    model.classifier = torch.nn.Sequential(model.classifier, Layer())
    with pytest.raises(UsageError, match="'meta' needs derivatives in forward mode"):
        loss_at(look_ahead, 3.0, 5.0)


def test_without_a_virtual_step_the_temperature_has_no_effect(look_ahead):
    assert loss_at(look_ahead, 3.0, 5.0, rate=0.0)[0].item() == loss_at(look_ahead, 9.0, 1.0, rate=0.0)[0].item()


def test_a_look_ahead_changes_nothing_in_the_network(look_ahead):
    before = {name: one.clone() for name, one in look_ahead.step.model.state_dict().items()}
    loss, taus = loss_at(look_ahead, 3.0, 5.0)
    torch.autograd.grad(loss, taus)
    torch.testing.assert_close(look_ahead.step.model.state_dict(), before, rtol=0, atol=0)
    assert all(one.grad is None for one in look_ahead.step.model.parameters())


def policy_after(loss_of, **options):
    """Return the temperatures after one update, with a held-out loss that is a function of both."""
    policy = Meta(Options(**options), PolicyContext(0, torch.device("cpu"), 3, 8))

    class Known:
        def held_out_loss(self, temperature, rate=None):
            chosen = temperature()
            return loss_of(chosen.student, chosen.teacher)

    policy.before_step(Known())
    return [policy.state_dict()[name].item() for name in ("student", "teacher")]


def test_temperatures_move_against_the_gradient_within_their_limits():
    assert policy_after(lambda s, t: 0.5 * s - 2 * t, tau=4, beta=0.5) == [3.75, 5]
    assert policy_after(lambda s, t: 100 * s - 200 * t, tau=4, beta=0.5, least=2, greatest=30) == [2, 30]
    assert policy_after(lambda s, t: (s - 4).sqrt() + t, tau=4, beta=0.5) == [4, 3.5]  # the slope of s is infinite


def test_an_update_waits_for_no_value_of_the_device():
    policy = Meta(Options(), PolicyContext(0, torch.device("meta"), 3, 8))

    class Known:
        def held_out_loss(self, temperature, rate=None):
            return temperature().weight

    policy.before_step(Known())  # on the device "meta", tensors have no values that could be read
    assert policy.kept()["student"].device.type == "meta"


def test_images_are_held_out_from_training_and_validation(training, splits):
    ours = training(POINT)
    trained = torch.cat([index for *_, index in splits.train.shuffled(16, 0, 0, left_out=ours._held_out.mask)])
    assert len(trained) == 56 - 11 == sum(ours.batch_sizes)
    assert len(ours._held_out) == 11 and not ours._held_out.mask[trained].any()
    assert torch.equal(ours._held_out.mask, training(POINT, seed=7)._held_out.mask)


def test_every_second_step_looks_ahead_at_other_images(splits):
    held_out = HeldOutImages(splits.train, MetaPart(share=0.2, every=2))
    first, none, third = (held_out.of_step(step, 8) for step in range(3))
    assert none is None and len(first[1]) == len(third[1]) == 8
    assert not torch.equal(first[0], third[0])


def test_both_temperatures_are_learned(training):
    ours = training(POINT)
    ours.train_epoch()
    state = ours.state_dict()["policy"]
    assert len({state["student"].item(), state["teacher"].item(), 4.0}) == 3


def test_the_plan_knows_what_look_aheads_cost(study):
    recipe = recipe_of(study, POINT)
    assert recipe.meta == MetaPart(share=0.2, every=2)
    # 45 of 56 images are trained on, in steps of 16, 16 and 13; the first and the third have a look-ahead.
    assert recipe.meta.student_passes(56, 16) == 6 * (16 + 13) + 3 * (11 + 11)
    assert "meta" not in recipe_of(study, {"tau": 4}).model_dump(mode="json")
