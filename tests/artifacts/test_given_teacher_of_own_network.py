"""Weights that are given for networks by reference: users' own ones, and those of torchvision."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from kdtune.artifacts.given_teacher import read_given, with_given_teacher
from kdtune.catalog.builtin import MODELS
from kdtune.errors import UsageError
from kdtune.specs import load_study
from tests.studies import small_study

NETS = """
import torch
from torch import nn


class HeadFirst(nn.Module):
    \"""The head is registered first and has no bias; the last tensor is a counter of a normalisation layer.\"""

    def __init__(self, num_classes, in_channels, width=4):
        super().__init__()
        self.head = nn.Linear(width, num_classes, bias=False)
        self.stem = nn.Conv2d(in_channels, width, 3)
        self.norm = nn.BatchNorm2d(width)

    def forward(self, images):
        return self.head(self.norm(self.stem(images)).mean((2, 3)))


class TwoPerClass(nn.Module):
    \"""Has two numbers per class and one besides.\"""

    def __init__(self, num_classes, in_channels):
        super().__init__()
        self.classes = num_classes
        self.module = nn.Conv2d(in_channels, 2 * num_classes + 1, 3)  # named as a wrapper names its network
        self.scale = nn.Parameter(torch.ones(()))

    def forward(self, images):
        return self.scale * self.module(images).mean((2, 3))[:, : self.classes]


class Masked(HeadFirst):
    \"""Has a constant with infinities, as masks of attention have.\"""

    def __init__(self, num_classes, in_channels):
        super().__init__(num_classes, in_channels)
        self.register_buffer("mask", torch.full((3, 3), float("-inf")).triu(1))


class TenOnly(HeadFirst):
    def __init__(self, num_classes, in_channels):
        if num_classes != 10:
            raise ValueError("is for ten classes")
        super().__init__(num_classes, in_channels)


class NeedsValues(HeadFirst):
    \"""Cannot be built without values.\"""

    def __init__(self, num_classes, in_channels):
        super().__init__(num_classes, in_channels, width=int(torch.ones(4).sum().item()))
"""

NETWORKS = ["HeadFirst", "TwoPerClass", "TenOnly", "Masked", "NeedsValues"]


@pytest.fixture(autouse=True)
def place(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("KDTUNE_CACHE_DIR", str(tmp_path / "cache"))
    (tmp_path / "nets.py").write_text(NETS)
    return tmp_path


def study_of(network, **changes):
    return load_study(small_study(teacher=network, **changes))


def weights_of(study, channels=1, classes=10, **options):
    torch.manual_seed(0)
    network = MODELS.load(study.teacher.name, study.teacher.digest)
    return network(num_classes=classes, in_channels=channels, **options).state_dict()


def refusal(study, weights):
    torch.save(weights, "mine.pth")
    with pytest.raises(UsageError) as refused:
        with_given_teacher(study, Path("mine.pth"))
    return str(refused.value).removeprefix("--teacher mine.pth: ")


def wrapped(prefix, weights):
    return {prefix + name: one for name, one in weights.items()}


FORMS = {
    "state_dict": lambda weights: {"state_dict": weights, "epoch": 3},
    "model": lambda weights: {"model": weights},
    "model_state_dict": lambda weights: {"model_state_dict": weights},
    "ema": lambda weights: {"ema": weights},
    "teacher": lambda weights: {"teacher": weights},
    "DataParallel": lambda weights: wrapped("module.", weights),
    "compiled": lambda weights: {"state_dict": wrapped("_orig_mod.", weights)},
    "both": lambda weights: {"model": wrapped("module._orig_mod.", weights)},
    "no counts": lambda weights: {name: one for name, one in weights.items() if "num_batches" not in name},
}


@pytest.mark.parametrize("name", NETWORKS)
def test_every_form_of_a_users_network_is_the_same_teacher(name):
    study = study_of(f"./nets.py:{name}")
    weights = weights_of(study)
    save_file(weights, "mine.safetensors")
    given = read_given(Path("mine.safetensors"), study, "x")
    assert list(given.state) == list(weights)
    assert all(torch.equal(given.state[name], one) for name, one in weights.items())
    for form, write in FORMS.items():
        if form == "no counts" and name == "TwoPerClass":
            continue
        torch.save(write(weights), "mine.pth")
        assert read_given(Path("mine.pth"), study, "x").digest == given.digest, form


@pytest.mark.parametrize(
    ("name", "unlike"),
    [
        ("HeadFirst", "head.weight (7x4 instead of 10x4)"),
        ("TwoPerClass", "module.weight (15x1x3x3 instead of 21x1x3x3), module.bias (15 instead of 21)"),
        ("NeedsValues", "head.weight (7x4 instead of 10x4)"),
    ],
)
def test_another_number_of_classes_is_recognised_wherever_the_head_is(name, unlike):
    study = study_of(f"./nets.py:{name}")
    assert refusal(study, weights_of(study, classes=7)) == (
        f"is for 7 classes, digits has 10: {unlike}; train the teacher with a new last layer on this data set first"
    )


def test_another_number_of_channels_is_recognised():
    study = study_of("./nets.py:HeadFirst")
    stem = "stem.weight (4x3x3x3 instead of 4x1x3x3)"
    assert refusal(study, weights_of(study, channels=3)) == f"is for images of 3 channels, digits has 1 channel: {stem}"
    said = refusal(study, weights_of(study, channels=3, classes=7))
    assert said.startswith("is for images of 3 channels and 7 classes, digits has 1 channel and 10: head.weight ")


def test_another_width_is_named_with_both_shapes():
    study = study_of("./nets.py:HeadFirst")
    assert refusal(study, weights_of(study, width=8)) == (
        "is not nets.py:HeadFirst for digits: of another shape: head.weight (10x8 instead of 10x4), stem.weight "
        "(8x1x3x3 instead of 4x1x3x3), stem.bias (8 instead of 4) and 4 more; perhaps the weights belong to a network "
        "with another width or other options"
    )
    study = study_of({"ref": "./nets.py:HeadFirst", "width": 8})
    torch.save(weights_of(study, width=8), "mine.pth")
    assert with_given_teacher(study, Path("mine.pth")).teacher_weights


def test_a_network_for_one_number_of_classes_is_compared_with_that_number():
    study = study_of("./nets.py:TenOnly")
    weights = {**weights_of(study), "head.weight": torch.zeros(7, 4)}
    assert "of another shape: head.weight (7x4 instead of 10x4)" in refusal(study, weights)


def test_weights_without_the_head_are_named_as_missing():
    study = study_of("./nets.py:HeadFirst")
    weights = {f"backbone.{name}": one for name, one in weights_of(study).items() if "head" not in name}
    said = refusal(study, weights)
    assert said.startswith("is not nets.py:HeadFirst for digits: missing: head.weight; perhaps")


@pytest.mark.parametrize(("dataset", "told"), [
    ("cifar10", "is for 1000 classes, cifar10 has 10: fc.weight (1000x512 instead of 10x512), fc.bias (1000 instead "),
    ("digits", "is for images of 3 channels and 1000 classes, digits has 1 channel and 10: conv1.weight (64x3x7x7 "),
])  # fmt: skip
def test_weights_of_imagenet_are_recognised_by_their_classes(dataset, told):
    from torchvision.models import resnet18

    study = study_of("torchvision:resnet18", dataset=dataset)
    assert refusal(study, resnet18().state_dict()).startswith(told)


def test_a_network_that_cannot_be_built_without_values_is_built_with_them():
    from torchvision.models import regnet_x_400mf

    study = study_of("torchvision:regnet_x_400mf", dataset="cifar10")
    torch.save(regnet_x_400mf(num_classes=10).state_dict(), "mine.pth")
    assert with_given_teacher(study, Path("mine.pth")).teacher_weights


@pytest.mark.parametrize(
    ("name", "value"), [("mask", "nan"), ("head.weight", "inf"), ("norm.running_mean", "inf"), ("norm.weight", "nan")]
)
def test_infinities_are_accepted_in_constants_alone(name, value):
    study = study_of("./nets.py:Masked")
    weights = weights_of(study)
    weights[name] = torch.full_like(weights[name], float(value))
    assert refusal(study, weights).startswith(f"{name} contains values that are not finite numbers")
