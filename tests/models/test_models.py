"""Shapes of the outputs of every registered model, and how many parameters and multiply-adds it has."""

import pytest
import torch

from kdtune.catalog.builtin import MODELS, models_of
from kdtune.energy.operation_counts import count_operations

CLASSIFIERS = models_of("classification")

# For 3 channels and 100 classes: parameters, and fvcore's multiply-adds at 32x32 and at 64x64.
COUNTS = {
    "convnet_2_4_4": (790, 90_000, 358_800),
    "convnet_4_8_16": (3_304, 273_984, 1_091_136),
    "convnet_16_32_64": (30_196, 2_865_408, 11_442_432),
    "convnet_32": (22_788, 3_923_072, 15_682_688),
    "resnet18": (11_220_132, 556_705_792, 2_226_669_568),
    "resnet20": (278_324, 41_224_448, 164_878_592),
    "resnet56": (861_620, 126_847_232, 507_369_728),
    "resnet8x4": (1_233_540, 177_841_152, 711_287_808),
    "resnet32x4": (7_433_860, 1_085_645_824, 4_342_506_496),
    "wrn_16_1": (180_916, 26_929_408, 107_698_432),
    "wrn_16_2": (703_284, 101_618_176, 406_434_304),
    "wrn_40_2": (2_255_156, 329_028_096, 1_316_073_984),
    "vgg8": (3_965_028, 96_462_848, 385_697_792),
    "vgg13": (9_462_180, 285_468_672, 1_141_721_088),
    "mobilenet_v2": (2_369_380, 66_742_688, 221_891_744),
    "mobilenet_v2_half": (812_836, 6_952_064, 27_424_256),
    "shufflenet_v2": (1_360_896, 44_731_008, 178_616_832),
}

# Published for 100 classes, in millions of parameters. The paper on stochastic temperature is PLOS ONE 2023, e0285668.
PUBLISHED_PARAMETERS = {
    "resnet18": 11.2,  # Table 3 of that paper
    "wrn_40_2": 2.2,  # the same; Zagoruyko and Komodakis (2016) say so too
    "wrn_16_1": 0.2,  # the same
    "resnet20": 0.27,  # He et al. (2016), for 10 classes and shortcuts without parameters
    "resnet56": 0.85,  # the same
    "mobilenet_v2": 2.36,  # weiaicunzai/pytorch-cifar100; Table 3 of the paper on stochastic temperature says 3.4
    "shufflenet_v2": 1.3,  # weiaicunzai/pytorch-cifar100
}

# Billions of multiply-adds to which the FLOPs of the paper on stochastic temperature fit: classes, pixels, GMACs.
PUBLISHED_GMACS = [
    ("resnet18", 10, 32, 0.5567),
    ("resnet18", 100, 32, 0.5567),
    ("resnet18", 200, 64, 2.2267),
    ("mobilenet_v2", 100, 32, 0.0667),
    ("mobilenet_v2", 100, 64, 0.2219),
    ("shufflenet_v2", 200, 64, 0.1787),
]


def build(name, num_classes=100):
    return MODELS.load(name)(3, num_classes)


#: Multiply-adds that were counted, by the network's name, classes and pixels.
counted = {}


def multiply_adds(name, classes, pixels, model=None):
    key = name, classes, pixels
    if key not in counted:
        counted[key] = count_operations(model or build(name, num_classes=classes), 3, pixels, pixels).macs
    return counted[key]


def parameters_of(model):
    return sum(parameter.numel() for parameter in model.parameters())


def test_every_model_is_counted():
    assert list(COUNTS) == [*CLASSIFIERS]


@pytest.mark.parametrize(("name", "counts"), COUNTS.items(), ids=str)
def test_parameters_and_multiply_adds(name, counts):
    model = build(name)
    assert (parameters_of(model), *(multiply_adds(name, 100, size, model) for size in (32, 64))) == counts


@pytest.mark.parametrize(("name", "millions"), PUBLISHED_PARAMETERS.items())
def test_the_published_number_of_parameters(name, millions):
    assert COUNTS[name][0] / 1e6 == pytest.approx(millions, rel=0.1)


@pytest.mark.parametrize(("name", "classes", "pixels", "gmacs"), PUBLISHED_GMACS)
def test_the_multiply_adds_that_the_papers_figures_fit(name, classes, pixels, gmacs):
    assert round(multiply_adds(name, classes, pixels) / 1e9, 4) == gmacs


@pytest.mark.parametrize("name", CLASSIFIERS)
def test_logits_have_the_shape_of_batch_and_classes(name, monkeypatch):
    """The suite in ``test_conformance.py`` has smaller images."""
    # A normalisation changes no shape, and is the slowest part of a pass without arithmetic.
    monkeypatch.setattr(torch.nn.BatchNorm2d, "forward", lambda norm, maps: maps)
    with torch.device("meta"):  # shapes without arithmetic
        models = {channels: MODELS.load(name)(channels, 7) for channels in (1, 3)}
        sizes = [(1, 28), (3, 32), (3, 64)]
        shapes = [models[channels](torch.empty(2, channels, pixels, pixels)).shape for channels, pixels in sizes]
    assert shapes == [(2, 7)] * 3
