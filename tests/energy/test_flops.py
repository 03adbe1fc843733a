import pytest
import torch

from kdtune.energy.flops import Workload, macs

SMALL = Workload(teacher_macs=100, student_macs=10, train_images=4, val_images=3, test_images=999)


def test_the_nominal_count_is_two_flops_a_multiply_add_forward_only():
    # 2 * [100 * 4 + 10 * (4 + 3)] * 5 = 2 * 470 * 5
    assert SMALL.nominal_flops(5, with_teacher=True) == 4700


def test_the_nominal_count_without_a_teacher():
    # 2 * 10 * (4 + 3) * 5
    assert SMALL.nominal_flops(5, with_teacher=False) == 700


def test_the_executed_count_has_the_students_backward_pass_as_two_forward_ones():
    # 2 * [100 * 4 + 10 * (3*4 + 3)] * 5 = 2 * 550 * 5
    assert SMALL.executed_flops(5, teacher_forward=True) == 5500


def test_the_executed_count_without_the_teachers_forward_pass():
    # 2 * 10 * (3*4 + 3) * 5
    assert SMALL.executed_flops(5, teacher_forward=False) == 1500


def test_the_teachers_own_training_is_counted_like_the_students():
    # 2 * 100 * (4 + 3) * 5
    assert SMALL.teacher_flops(5) == 7000


# What the paper prints (Tables 4 and 7), in millions of GFLOPs; multiply-adds by fvcore at 32x32 and 64x64 pixels.
CIFAR = {"ResNet18": 0.5567e9, "MobileNetV2": 0.0667e9}
TINY_IMAGENET = {"ResNet18": 2.2267e9, "ShuffleNetV2": 0.1787e9}


def gflops_millions(teacher_macs, student_macs, train_images, runs=1):
    workload = Workload(int(teacher_macs), int(student_macs), train_images, 10_000, 0)
    return sum(workload.nominal_flops(100, with_teacher=True) for _ in range(runs)) / 1e15


@pytest.mark.parametrize(("runs", "printed"), [(1, 6.42), (20, 128.40)])
def test_the_papers_figures_for_cifar(runs, printed):
    computed = gflops_millions(CIFAR["ResNet18"], CIFAR["MobileNetV2"], 50_000, runs)
    assert computed == pytest.approx(printed, rel=0.04)


@pytest.mark.parametrize(
    ("teacher", "student", "printed"),
    [
        ("ResNet18", "ResNet18", 93.83),
        ("ShuffleNetV2", "ResNet18", 52.85),
        ("ResNet18", "ShuffleNetV2", 48.75),
        ("ShuffleNetV2", "ShuffleNetV2", 7.77),
    ],
)
def test_the_papers_figures_for_tiny_imagenet(teacher, student, printed):
    computed = gflops_millions(TINY_IMAGENET[teacher], TINY_IMAGENET[student], 100_000)
    assert computed == pytest.approx(printed, rel=0.04)


def test_a_linear_layer_has_a_multiply_add_a_weight():
    model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(2 * 3 * 5, 7))
    assert macs(model, channels=2, height=3, width=5) == 2 * 3 * 5 * 7


@pytest.mark.parametrize("training", [True, False])
def test_counting_leaves_the_model_as_it_was(training):
    model = torch.nn.Sequential(torch.nn.BatchNorm2d(1), torch.nn.Flatten(), torch.nn.Linear(4, 2)).train(training)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    macs(model, 1, 2, 2)
    assert model.training is training
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
