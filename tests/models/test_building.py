"""Networks of users: how they are built, and what is refused."""

from functools import partial

import pytest
import torch
from torch import nn

from kdtune.errors import UsageError
from kdtune.models.building import build_network, build_without_values
from kdtune.specs.component import Component, component_of

NETS = """
import functools
import torch
from torch import nn

def tiny(num_classes, in_channels, width=2):
    return nn.Sequential(nn.Conv2d(in_channels, width, 3), nn.Flatten(), nn.LazyLinear(num_classes))

def plain(num_classes, in_channels, width=2, bias=True):
    pooled = (nn.AdaptiveAvgPool2d(1), nn.Flatten())
    return nn.Sequential(nn.Conv2d(in_channels, width, 3), *pooled, nn.Linear(width, num_classes, bias))

class Net(nn.Sequential):
    def __init__(self, num_classes):
        super().__init__(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, num_classes))

def materialised(num_classes, in_channels):
    network = tiny(num_classes, in_channels)
    network(torch.zeros(1, in_channels, 8, 8))
    return network

def any_options(**options):
    return plain(**options)

def needs_width(num_classes, in_channels, width):
    return plain(num_classes, in_channels, width)

def no_sizes(width=2):
    return plain(2, 3, width)

def fails(num_classes):
    return nn.Linear(num_classes, missing_name)

def values(num_classes, in_channels):
    scale = float(torch.ones(1).sum())
    return plain(num_classes, in_channels, int(scale) + 1)

def empty(num_classes):
    return nn.Flatten()

wide = functools.partial(plain, width=7)
built = nn.Linear(2, 3)
number = 3
forgets = lambda num_classes: None
"""


@pytest.fixture
def of_file(tmp_path):
    (tmp_path / "nets.py").write_text(NETS)

    def component(name, **options):
        return Component(name=f"{tmp_path / 'nets.py'}:{name}", options=options)

    return component


@pytest.mark.parametrize(
    ("name", "options", "weights"),
    [
        ("plain", {}, (2, 3, 3, 3)),
        ("plain", {"width": 5}, (5, 3, 3, 3)),
        ("Net", {}, (4, 3)),
        ("any_options", {"width": 6}, (6, 3, 3, 3)),
        ("needs_width", {"width": 4}, (4, 3, 3, 3)),
        ("wide", {}, (7, 3, 3, 3)),
        ("wide", {"width": 8}, (8, 3, 3, 3)),
        ("materialised", {}, (2, 3, 3, 3)),
        ("values", {}, (2, 3, 3, 3)),
    ],
)
def test_functions_classes_and_partials_get_the_sizes_and_their_options(of_file, name, options, weights):
    component = of_file(name, **options)
    network = build_network(component, 3, 4)
    assert next(network.parameters()).shape == weights
    shapes = build_without_values(lambda: build_network(component, 3, 4)).state_dict()
    assert {key: one.shape for key, one in shapes.items()} == {k: v.shape for k, v in network.state_dict().items()}
    assert all(one.is_meta for one in shapes.values())


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("plain", {"widht": 3}, "widht is no option of .*its options are width, bias"),
        ("Net", {"width": 3}, "width is no option of .*it has no options"),
        ("plain", {"num_classes": 3}, "num_classes is no option: it follows from the data set"),
        ("needs_width", {}, r"needs width; write \{ ref = .*, width = ... \}"),
        ("no_sizes", {}, "does not accept num_classes; define it as"),
        ("fails", {}, r"cannot be built with num_classes=4: NameError: .*missing_name.*nets.py, line \d+"),
        ("built", {}, "is a network that has been built already"),
        ("number", {}, "is not a function or class"),
        ("forgets", {}, "returned a NoneType"),
        ("empty", {}, "has no parameters to train"),
        ("tiny", {}, r"the layer 2 is a LazyLinear, whose shape is unknown .*use Linear with the sizes given"),
        ("plian", {}, "has no 'plian'; it defines tiny, plain"),
    ],
)
def test_what_is_wrong_is_one_message_with_the_remedy(of_file, name, options, message):
    with pytest.raises(UsageError, match=message) as refused:
        build_network(of_file(name, **options), 3, 4)
    assert "\n" not in str(refused.value)


def local(num_classes, in_channels=3, width=2):
    return nn.Sequential(nn.AdaptiveAvgPool2d(width), nn.Flatten(), nn.Linear(in_channels * width**2, num_classes))


@pytest.mark.parametrize(
    ("value", "inputs"),
    [
        (local, 12),
        (partial(local, width=3), 27),
        (lambda num_classes: nn.Linear(5, num_classes), 5),
    ],
    ids=["function", "partial", "lambda"],
)
def test_callables_are_accepted_as_they_are(value, inputs):
    network = build_network(component_of(value), 3, 4)
    assert next(network.parameters()).shape == (4, inputs)


def test_a_network_that_is_an_object_is_refused():
    with pytest.raises(UsageError, match="has been built already"):
        build_network(component_of(nn.Linear(3, 4)), 3, 4)


def test_shapes_leave_random_numbers_alone(of_file):
    before = torch.get_rng_state()
    build_without_values(lambda: build_network(of_file("values"), 3, 4))
    assert torch.equal(torch.get_rng_state(), before)
