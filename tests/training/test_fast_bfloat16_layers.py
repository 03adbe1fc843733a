"""The same numbers in exact arithmetic, and no worse ones in bfloat16."""

from copy import deepcopy

import pytest
import torch
from torch import nn

from kdtune.catalog.builtin import MODELS
from kdtune.energy.operation_counts import count_operations
from kdtune.models.mobilenet_v2 import InvertedResidual
from kdtune.specs.numerics import Numerics
from kdtune.training.fast_bfloat16_layers import make_lean
from kdtune.training.numerics import Arithmetic

CPU = torch.device("cpu")


def bias_then_stride():
    """What no network here has: a strided depthwise convolution with a bias that counts, and a frozen normalisation."""
    return nn.Sequential(
        *(nn.Conv2d(3, 6, 1), nn.BatchNorm2d(6).eval(), nn.ReLU6(inplace=True)),
        *(nn.Conv2d(6, 6, (3, 5), stride=(2, 3), padding=(1, 0), groups=6), nn.ReLU6()),
        *(nn.Conv2d(6, 8, 2, stride=2), nn.BatchNorm2d(8, momentum=None)),
        *(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 10)),
    )


def network(name):
    torch.manual_seed(0)
    return bias_then_stride() if name == "bias_then_stride" else MODELS.load(name)(3, 10).train()


def trained(model, images, labels, steps, place=lambda model: model):
    """A network after a few steps with momentum and weight decay, and what it says then."""
    model = place(model)
    optimiser = torch.optim.SGD(model.parameters(), 0.05, momentum=0.9, weight_decay=0.1)
    for _ in range(steps):
        optimiser.zero_grad()
        nn.functional.cross_entropy(model(images), labels).backward()
        optimiser.step()
    with torch.no_grad():
        return model.state_dict(), model.eval()(images)


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("name", ["mobilenet_v2", "shufflenet_v2", "vgg8", "resnet20", "bias_then_stride"])
def test_trainings_in_double_precision_come_to_the_same(name, layout):
    plain = network(name).double()
    images, labels = torch.randn(6, 3, 17, 16).double(), torch.arange(6)
    lean = deepcopy(plain).to(memory_format=layout)
    make_lean(lean, channels_last=layout is torch.channels_last)
    (wanted, says), (got, also) = (
        trained(model, images.contiguous(memory_format=layout), labels, steps=4) for model in (plain, lean)
    )
    assert list(got) == list(wanted)
    for key, value in wanted.items():
        torch.testing.assert_close(got[key], value, rtol=1e-8, atol=1e-10, msg=key)
    torch.testing.assert_close(also, says, rtol=1e-8, atol=1e-10)


def test_in_bfloat16_gradients_are_as_near_to_the_exact_ones_as_those_of_the_plain_layers():
    torch.manual_seed(0)
    images, weighed = torch.randn(64, 16, 32, 32), torch.randn(64, 24)
    numerics = Numerics(precision="bfloat16", memory_layout="channels_last", compile="off")
    block = nn.Sequential(InvertedResidual(16, 24, 2, 6), nn.AdaptiveAvgPool2d(1), nn.Flatten())

    def gradients(model, logits_of):
        (logits_of(model, images.to(next(model.parameters()).dtype)) * weighed).sum().backward()
        # Those of biases before a normalisation are nothing but rounding.
        return torch.cat([one.grad.double().flatten() for one in model.parameters() if one.dim() > 1])

    exact = gradients(deepcopy(block).double(), lambda model, given: model(given))
    arithmetic = Arithmetic(CPU, numerics)
    ways = deepcopy(block).to(memory_format=torch.channels_last), arithmetic.place(deepcopy(block))
    plain, lean = (float((gradients(way, arithmetic.logits) - exact).norm() / exact.norm()) for way in ways)
    assert lean < 1.1 * plain and lean < 0.05


def test_compiled_they_do_the_same():
    """Only traced, which needs no C++ compiler: what is generated from that is torch's matter."""
    torch.manual_seed(0)
    images, labels = torch.randn(4, 16, 16, 16), torch.arange(4)
    lean = nn.Sequential(InvertedResidual(16, 24, 2, 6), nn.AdaptiveAvgPool2d(1), nn.Flatten()).train()
    make_lean(lean, channels_last=True)
    (wanted, says), (got, also) = (
        trained(deepcopy(lean), images, labels, steps=3, place=place)
        for place in (lambda model: model, lambda model: torch.compile(model, backend="aot_eager", fullgraph=True))
    )
    for value, other in zip(wanted.values(), got.values(), strict=True):
        torch.testing.assert_close(other, value, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(also, says, rtol=1e-4, atol=1e-5)


def test_they_count_the_same():
    plain = MODELS.load("mobilenet_v2")(3, 10)
    counted = count_operations(plain, 3, 32, 32).macs
    make_lean(plain, channels_last=True)
    assert count_operations(plain, 3, 32, 32).macs == counted


def test_none_is_in_the_networks_own_arithmetic():
    numerics = Numerics(precision="float32", memory_layout="channels_last", compile="off")
    placed = Arithmetic(CPU, numerics).place(network("mobilenet_v2"))
    assert {type(one) for one in placed.modules() if isinstance(one, nn.Conv2d)} == {nn.Conv2d}
