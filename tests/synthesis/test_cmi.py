"""CMI: a generator for each batch, contrast with the memory, and the same images after an interruption."""

import math

import pytest
import torch

from kdtune.synthesis.cmi import Cmi, Options
from kdtune.synthesis.contrast import Head, MemoryBank, contrastive_losses
from kdtune.synthesis.generator import Generator
from kdtune.synthesis.losses import agreeing_divergence
from kdtune.synthesis.views import resized_crops, shifted

SMALL = {"images": 16, "held_out": 2, "batch_size": 4, "iterations": 3, "inputs": 4, "width": 2, "head": 3, "shift": 1}


def method(**options):
    return Cmi(Options(**{**SMALL, **options}), 3, (1, 8, 8))


def made(cmi, teacher, numbers):
    batches = []
    for number in numbers:
        images, _ = cmi.make(number, teacher)
        cmi.remember(number, images, teacher)
        batches.append(images)
    return batches


@pytest.mark.parametrize(
    ("inputs", "width", "shape", "parameters", "macs"),
    [(256, 64, (3, 32, 32), 2_328_899, 117_112_832), (64, 16, (1, 8, 8), 22_449, None)],
)
def test_the_generator_has_the_size_of_the_paper(inputs, width, shape, parameters, macs):
    generator = Generator(inputs, width, shape)
    assert sum(one.numel() for one in generator.parameters()) == parameters
    assert generator(torch.randn(2, inputs)).shape == (2, *shape)
    assert macs is None or generator.macs() == macs


def test_sizes_that_are_no_multiples_of_four_are_possible():
    assert Generator(4, 2, (1, 7, 10))(torch.randn(2, 4)).shape == (2, 1, 7, 10)


def test_weights_are_drawn_anew_from_the_generator_alone():
    one, other = Generator(4, 2, (1, 8, 8)), Generator(4, 2, (1, 8, 8))
    for generator in (one, other):
        generator.draw_weights(torch.Generator().manual_seed(3))
    assert all(torch.equal(a, b) for a, b in zip(one.state_dict().values(), other.state_dict().values(), strict=True))
    assert one.linear.weight.std().item() == pytest.approx(0.02, rel=0.2)
    assert one.norm.weight.mean().item() == pytest.approx(1, abs=0.05)
    assert not one.paint.bias.any()


def test_the_contrast_of_orthonormal_features_has_the_value_computed_by_hand():
    found = contrastive_losses(torch.eye(2), torch.eye(2), 0.1)
    assert found.tolist() == pytest.approx([math.log1p(math.exp(-10))] * 2, rel=2e-3)
    assert found.mean().item() == pytest.approx(4.54e-5, rel=2e-3)


def test_no_gradient_flows_to_the_global_views():
    local, whole = (torch.randn(3, 2, requires_grad=True) for _ in range(2))
    contrastive_losses(local, whole, 0.1).mean().backward()
    assert local.grad is not None and whole.grad is None


def test_a_bank_that_is_exactly_full_gives_negatives_and_the_oldest_make_room():
    bank, generator = MemoryBank(2), torch.Generator().manual_seed(0)
    for value in range(3):
        bank.add(torch.full((4, 2), float(value)), torch.full((4, 2), float(value)))
        drawn, _ = bank.drawn(100, generator)
        assert len(drawn) == len(bank) == min(8, 4 * (value + 1))
    assert sorted(set(drawn[:, 0].tolist())) == [1.0, 2.0]
    assert len(bank.drawn(3, generator)[0]) == 3


def test_the_loss_is_finite_when_the_memory_is_exactly_full(inverted, network):
    cmi, teacher = method(memory=8, negatives=8), inverted(network)
    images = made(cmi, teacher, range(4))
    assert len(cmi._memory) == 8
    assert all(torch.isfinite(one).all() for one in cmi.state_dict()["head"].values())
    assert all(one.float().std() > 0 for one in images)


def test_an_interrupted_synthesis_makes_the_same_images(inverted, network):
    teacher = inverted(network)
    whole = made(method(memory=8), teacher, range(4))
    first = method(memory=8)
    made(first, teacher, range(2))
    second = method(memory=8)
    second.load_state_dict(first.state_dict())
    for number in range(2):
        second.remember(number, whole[number], teacher)
    assert all(torch.equal(a, b) for a, b in zip(made(second, teacher, (2, 3)), whole[2:], strict=True))


def test_the_teacher_is_bit_equal_afterwards(inverted, network):
    before = {name: value.clone() for name, value in network.state_dict().items()}
    made(method(), inverted(network), range(2))
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())


def test_the_student_changes_the_images_only_with_a_weight(inverted, network):
    def student(images):
        return images.flatten(1)[:, :3]

    teacher = inverted(network)
    plain, _ = method().make(0, teacher, student)
    assert torch.equal(plain, method().make(0, teacher)[0])
    assert (method(adv=0.5).common.trial_batches, method().common.trial_batches) == (1, 0)
    assert method(adv=0.5).flops(100, 10) - method().flops(100, 10) == 2 * 2 * 10 * 3


def test_the_divergence_counts_where_both_name_the_same_class():
    teacher, student = torch.tensor([[2.0, 0.0], [2.0, 0.0]]), torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    known, found = teacher[0].log_softmax(0), student[0].log_softmax(0)
    expected = (known.exp() * (known - found)).sum() / 2
    assert agreeing_divergence(teacher, student).item() == pytest.approx(expected.item())


def test_moved_images_are_exact_copies_with_black_gaps():
    images = torch.arange(1.0, 17).view(1, 1, 4, 4).repeat(400, 1, 1, 1)
    views = shifted(images, 1, torch.Generator().manual_seed(0), flip=True)
    known = {0.0, *images.unique().tolist()}
    assert {round(value, 3) for value in views.unique().tolist()} <= known
    assert len(views.round().unique(dim=0)) == 18  # nine moves, flipped or not


def test_crops_of_the_whole_image_are_the_image():
    images = torch.rand(5, 2, 6, 6)
    draws = torch.Generator().manual_seed(0)
    assert resized_crops(images, 0.25, draws, flip=True).shape == images.shape
    assert (resized_crops(images, 0.25, draws, flip=False) <= images.amax((2, 3), keepdim=True) + 1e-6).all()


def test_the_head_returns_unit_vectors():
    assert torch.allclose(Head(5, 3)(torch.randn(4, 5)).norm(dim=1), torch.ones(4))
