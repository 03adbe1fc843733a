"""The same numbers in exact arithmetic, no worse ones in bfloat16; networks that are not built in keep their layers."""

from copy import deepcopy

import pytest
import torch
from torch import nn
from torch.autograd import forward_ad
from torch.func import functional_call
from torch.nn.utils import parametrize

from kdtune.artifacts.training_context import TrainingContext
from kdtune.catalog.builtin import MODELS
from kdtune.energy.operation_counts import count_operations
from kdtune.models.mobilenet_v2 import InvertedResidual
from kdtune.specs import load_study
from kdtune.specs.numerics import Numerics
from kdtune.training.fast_bfloat16_layers import make_lean
from kdtune.training.numerics import Arithmetic
from kdtune.training.resolution import representative_recipe
from tests.studies import small_study

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


@pytest.mark.parametrize("name", ["mobilenet_v2_half", "bias_then_stride"])
def test_derivatives_in_forward_mode_come_to_the_same(name):
    plain = network(name).double()
    lean = deepcopy(plain).to(memory_format=torch.channels_last)
    make_lean(lean, channels_last=True)
    images = torch.randn(3, 3, 17, 16).double()
    directions = {key: torch.randn_like(weight) for key, weight in plain.named_parameters()}

    def change(model):
        with torch.no_grad(), forward_ad.dual_level():
            dual = {key: forward_ad.make_dual(one.detach(), directions[key]) for key, one in model.named_parameters()}
            return forward_ad.unpack_dual(functional_call(model, dual, images)).tangent

    torch.testing.assert_close(change(lean), change(plain))


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("name", ["mobilenet_v2_half", "shufflenet_v2", "vgg8", "resnet20", "bias_then_stride"])
def test_trainings_in_double_precision_come_to_the_same(name, layout):
    plain = network(name).double()
    images, labels = torch.randn(3, 3, 17, 16).double(), torch.arange(3)
    lean = deepcopy(plain).to(memory_format=layout)
    make_lean(lean, channels_last=layout is torch.channels_last)
    (wanted, says), (got, also) = (
        trained(model, images.contiguous(memory_format=layout), labels, steps=2) for model in (plain, lean)
    )
    assert list(got) == list(wanted)
    for key, value in wanted.items():
        torch.testing.assert_close(got[key], value, rtol=1e-8, atol=1e-10, msg=key)
    torch.testing.assert_close(also, says, rtol=1e-8, atol=1e-10)


def test_in_bfloat16_gradients_are_as_near_to_the_exact_ones_as_those_of_the_plain_layers():
    torch.manual_seed(0)
    images, weighed = torch.randn(32, 16, 16, 16), torch.randn(32, 24)
    numerics = Numerics(precision="bfloat16", memory_layout="channels_last", compile="off")
    block = nn.Sequential(InvertedResidual(16, 24, 2, 6), nn.AdaptiveAvgPool2d(1), nn.Flatten())

    def gradients(model, logits_of):
        (logits_of(model, images.to(next(model.parameters()).dtype)) * weighed).sum().backward()
        # Those of biases before a normalisation are nothing but rounding.
        return torch.cat([one.grad.double().flatten() for one in model.parameters() if one.dim() > 1])

    exact = gradients(deepcopy(block).double(), lambda model, given: model(given))
    arithmetic = Arithmetic(CPU, numerics)
    ways = deepcopy(block).to(memory_format=torch.channels_last), arithmetic.place(deepcopy(block), built_in=True)
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
    plain = MODELS.load("mobilenet_v2_half")(3, 10)
    counted = count_operations(plain, 3, 16, 16).macs
    make_lean(plain, channels_last=True)
    assert count_operations(plain, 3, 16, 16).macs == counted


def test_none_is_in_the_networks_own_arithmetic():
    numerics = Numerics(precision="float32", memory_layout="channels_last", compile="off")
    placed = Arithmetic(CPU, numerics).place(network("mobilenet_v2"), built_in=True)
    assert {type(one) for one in placed.modules() if isinstance(one, nn.Conv2d)} == {nn.Conv2d}


class Doubled(nn.BatchNorm2d):
    """A subclass with a forward pass of its own."""

    def forward(self, features):
        return 2 * super().forward(features)


class Standardized(nn.Conv2d):
    """Computes with its weights before the convolution, as networks with weight standardization do."""

    def forward(self, features):
        centred = self.weight - self.weight.mean(dim=(1, 2, 3), keepdim=True)
        return self._conv_forward(features, centred / self.weight.std(), self.bias)


class Halved(nn.Module):
    """A parametrization."""

    def forward(self, weight):
        return weight / 2


class SharedConvolution(nn.Module):
    """A convolution that a chain and the network itself use, so that its bias does not always cancel."""

    def __init__(self):
        super().__init__()
        self.shared = nn.Conv2d(4, 4, 1)
        self.chain = nn.Sequential(self.shared, nn.BatchNorm2d(4))

    def forward(self, features):
        return self.chain(features) + self.shared(features)


class WeightReader(nn.Module):
    """Uses the weight of a linear layer outside of autocast, as an attention layer may."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(8, 8)

    def forward(self, features):
        with torch.autocast("cpu", enabled=False):
            return features.float() @ self.layer.weight


def with_hooks():
    """A convolution whose output is also added to that of the normalization behind it."""
    network = nn.Sequential(nn.Conv2d(4, 4, 1), nn.BatchNorm2d(4))
    outputs = []
    network[0].register_forward_hook(lambda module, given, output: outputs.append(output))
    network[1].register_forward_hook(lambda module, given, output: output + outputs.pop())
    return network


def parametrized():
    return nn.Sequential(parametrize.register_parametrization(nn.Conv2d(4, 4, 1), "bias", Halved()), nn.BatchNorm2d(4))


#: By name, what builds the middle of a network from four channels to four.
FOREIGN = {
    "subclass of a normalization": lambda: nn.Sequential(nn.Conv2d(4, 4, 1), Doubled(4)),
    "subclass of a convolution": lambda: Standardized(4, 4, 3, padding=1),
    "hooks": with_hooks,
    "shared module": SharedConvolution,
    "parametrization": parametrized,
    "strided depthwise": lambda: nn.Conv2d(4, 4, 3, stride=2, groups=4),
    "weight outside of autocast": lambda: nn.Sequential(
        nn.AdaptiveAvgPool2d((1, 2)), nn.Flatten(), WeightReader(), nn.Unflatten(1, (4, 1, 2))
    ),
}


def foreign(name):
    torch.manual_seed(0)
    stem = nn.Conv2d(3, 4, 3), nn.ReLU6(inplace=True)
    return nn.Sequential(*stem, FOREIGN[name](), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 10))


@pytest.mark.parametrize("layout", ["contiguous", "channels_last"])
@pytest.mark.parametrize("name", FOREIGN)
def test_networks_that_are_not_built_in_compute_what_plain_autocast_computes(name, layout):
    memory_format = torch.channels_last if layout == "channels_last" else torch.contiguous_format
    torch.manual_seed(1)
    images, labels = torch.randn(6, 3, 12, 12).contiguous(memory_format=memory_format), torch.arange(6)
    arithmetic = Arithmetic(CPU, Numerics(precision="bfloat16", memory_layout=layout, compile="off"))

    def plain_logits(model):
        with torch.autocast("cpu", torch.bfloat16):
            return model(images).float()

    plain = foreign(name).to(memory_format=memory_format)
    placed = arithmetic.place(foreign(name))
    for logits_of, model in ((plain_logits, plain), (lambda model: arithmetic.logits(model, images), placed)):
        optimizer = torch.optim.SGD(model.parameters(), 0.1)
        for _ in range(2):
            optimizer.zero_grad()
            nn.functional.cross_entropy(logits_of(model), labels).backward()
            optimizer.step()
    for (key, value), other in zip(plain.state_dict().items(), placed.state_dict().values(), strict=True):
        assert torch.equal(value, other), key
    with torch.no_grad():
        assert torch.equal(arithmetic.logits(arithmetic.freeze(placed), images), plain_logits(plain.eval()))


def test_a_training_replaces_the_layers_of_built_in_networks_only(tmp_path):
    (tmp_path / "nets.py").write_text(
        "from kdtune.catalog.builtin import MODELS\n\n\n"
        "def mine(num_classes, in_channels):\n    return MODELS.load('convnet_4_8_16')(in_channels, num_classes)\n"
    )
    own = {"ref": f"{tmp_path}/nets.py:mine"}
    study = load_study(small_study(student=own))
    study = study.model_copy(update={"numerics": Numerics(precision="bfloat16", compile="off")})
    context = TrainingContext(study, CPU, 1)
    recipe = representative_recipe(study, with_teacher=False)
    own_model = context.training(recipe, 0, None).model
    built_in = context.training(recipe.model_copy(update={"model": study.teacher}), 0, None).model
    replaced = [{type(one).__module__ for one in model.modules()} for model in (own_model, built_in)]
    fast = "kdtune.training.fast_bfloat16_layers"
    assert [fast in modules for modules in replaced] == [False, True]
    students = context.untrained_student(), context.untrained_teacher()
    assert [any(type(one).__module__ == fast for one in model.modules()) for model in students] == [False, True]
