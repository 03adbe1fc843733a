"""DeepInversion optimises pixels, keeps the best of them and leaves the teacher as it was."""

import pytest
import torch
from torch import nn

from kdtune.synthesis.deep_inversion import DeepInversion, Options
from kdtune.synthesis.noise import Noise

SHAPE = (1, 6, 6)


def _method(**options):
    given = {"images": 8, "held_out": 2, "batch_size": 8, "iterations": 5, "roll": 1, **options}
    return DeepInversion(Options(**given), 3, SHAPE)


def test_the_teacher_is_bit_equal_afterwards(inverted, network):
    before = {name: value.clone() for name, value in network.state_dict().items()}
    _method().make(0, inverted(network))
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())


def test_a_batch_depends_on_seed_and_number_alone(inverted, network):
    teacher, method = inverted(network), _method(images=16)
    images, classes = method.make(1, teacher)
    torch.manual_seed(99)
    again, same_classes = _method(images=16).make(1, teacher)
    assert torch.equal(images, again)
    assert torch.equal(classes, same_classes)
    assert not torch.equal(images, method.make(0, teacher)[0])
    assert not torch.equal(images, _method(images=16, seed=1).make(1, teacher)[0])
    assert images.dtype == torch.uint8
    assert images.shape == (8, *SHAPE)


def test_the_statistics_come_nearer_to_the_running_ones(inverted, network):
    teacher = inverted(network)

    def distance(images):
        with teacher.watched():
            return teacher(teacher.normalised(images.float() / 255)).distance

    first, _ = _method(iterations=1).make(0, teacher)
    last, _ = _method(iterations=60).make(0, teacher)
    assert distance(last) < 0.7 * distance(first)


def test_the_best_images_are_kept_and_not_the_last(inverted, network):
    """With a step of ten deviations every later iterate is worse than the first, which is the drawn noise."""
    teacher = inverted(network)
    options = {"class_weight": 0, "tv": 1, "bn": 0, "roll": 0, "flip": False}
    first, _ = _method(iterations=1, learning_rate=10, **options).make(0, teacher)
    last, _ = _method(iterations=2, learning_rate=10, **options).make(0, teacher)
    assert torch.equal(first, last)


def test_the_student_draws_images_to_where_it_disagrees(inverted, network):
    class Student(nn.Module):
        def forward(self, images):
            return images.flatten(1)[:, :3]

    teacher = inverted(network)
    alone, _ = _method(adv=1).make(0, teacher)
    against, _ = _method(adv=1).make(0, teacher, Student())
    bounded, _ = _method(adv=1, adaptive=True).make(0, teacher, Student())
    assert not torch.equal(alone, against)
    assert torch.equal(against, bounded)  # the bound does not bind here, and the gradients are the same


def test_flops_count_both_directions_and_the_student_only_where_it_takes_part():
    assert _method().flops(100, 7) == 2 * 2 * 5 * 100
    assert _method(adv=1).flops(100, 7) == 2 * 2 * 5 * 107


def test_the_last_batch_holds_the_rest():
    assert Options(images=10, held_out=2, batch_size=4).batches == [4, 4, 2]


def test_options_that_leave_nothing_to_train_on_are_refused():
    with pytest.raises(ValueError, match="held_out = 9 of 10 images leaves fewer than 2"):
        Options(images=10, held_out=9)


def test_noise_is_uniform_and_needs_no_network(inverted, network):
    images, classes = Noise(Noise.Options(images=64, held_out=2, batch_size=64), 3, SHAPE).make(0, inverted(network))
    assert images.float().mean().item() == pytest.approx(127.5, abs=6)
    assert sorted(set(classes.tolist())) == [0, 1, 2]
