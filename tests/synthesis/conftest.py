"""A tiny teacher with batch normalisation, and what makes images from it."""

import pytest
import torch
from torch import nn

from kdtune.specs.numerics import PLAIN
from kdtune.synthesis.inverted_network import InvertedNetwork
from kdtune.training.numerics import Arithmetic

CPU = torch.device("cpu")


@pytest.fixture
def network():
    torch.manual_seed(0)
    layers = nn.Conv2d(1, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()
    model = nn.Sequential(*layers, nn.Linear(4, 3))
    model[1].running_mean.normal_()
    return model.eval().requires_grad_(False)


@pytest.fixture
def inverted():
    """Return a function that wraps a network; its pixels have the mean 0.5 and the deviation 0.25."""

    def wrap(model, numerics=PLAIN):
        mean, std = torch.full((1, 1, 1), 0.5), torch.full((1, 1, 1), 0.25)
        return InvertedNetwork(model, Arithmetic(CPU, numerics), mean, std)

    return wrap
