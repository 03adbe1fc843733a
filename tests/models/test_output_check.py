"""What a network returns, checked with two images."""

import pytest
import torch

from kdtune.errors import UsageError
from kdtune.models.output_check import check_network
from kdtune.specs.component import Component
from kdtune.specs.data_info import DataInfo

NETS = """
import torch
from torch import nn

class Net(nn.Module):
    def __init__(self, num_classes, in_channels=3, outputs=None, returns="logits"):
        super().__init__()
        self.conv = nn.Conv2d(in_channels, 4, 3)
        self.fc = nn.Linear(4, outputs or num_classes)
        self.returns = returns

    def forward(self, x):
        f = self.conv(x)
        logits = self.fc(f.mean((2, 3)))
        match self.returns:
            case "logits": return logits
            case "tuple": return logits, f
            case "dict": return {"logits": logits, "features": f}
            case "softmax": return logits.softmax(1)
            case "log_softmax": return logits.log_softmax(1)
            case "features": return f
            case "classes": return logits.argmax(1)
            case "flat": return logits.flatten()
            case "nan": return logits / 0
            case "detached": return logits.detach()
            case "auxiliary": return (logits, f) if self.training else logits
            case "none": return None

def colour(num_classes):
    return Net(num_classes)

class Large(Net):
    def forward(self, x):
        if x.shape[-1] < 37:
            raise ValueError("too small")
        return super().forward(x)

class Small(Net):
    def forward(self, x):
        if x.shape[-1] > 40:
            raise ValueError("too large")
        return super().forward(x)

class Evaluated(Net):
    def forward(self, x):
        return super().forward(x) if self.training else self.missing(x)

def double(num_classes, in_channels):
    return Net(num_classes, in_channels).double()

def elsewhere(num_classes, in_channels):
    return Net(num_classes, in_channels).to("meta")

def ends(num_classes, in_channels):
    raise SystemExit("usage: train.py")

class Ends(Net):
    def forward(self, x):
        raise SystemExit(3)
"""


@pytest.fixture
def of_file(tmp_path):
    (tmp_path / "nets.py").write_text(NETS)
    return lambda name, **options: Component(name=f"{tmp_path / 'nets.py'}:{name}", options=options)


def info(*shape, classes=5):
    return DataInfo(classes=classes, shape=shape, train_images=10, test_images=10)


@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 32, 20)])
def test_a_network_of_logits_is_returned(of_file, shape):
    before = torch.get_rng_state()
    network = check_network(of_file("Net"), info(*shape))
    assert not network.training
    assert network(torch.zeros(3, *shape)).shape == (3, 5)
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize(
    ("returns", "message"),
    [
        ("tuple", r"a tuple of 2 values; expected are logits of shape \(2, 5\)"),
        ("dict", "a dict with the keys logits, features; .*return the logits alone"),
        ("softmax", "is probabilities, which sum to 1; .*remove the softmax"),
        ("log_softmax", "logarithms of probabilities.*remove the log_softmax"),
        ("features", r"has the shape \(2, 4, 6, 6\); .*look like features"),
        ("classes", r"has the shape \(2,\); expected"),
        ("flat", r"has the shape \(10,\).*the first dimension has to be the batch"),
        ("nan", "is not finite"),
        ("detached", "has no gradient, .*remove detach"),
        ("auxiliary", "in training mode its output is a tuple of 2"),
        ("none", "is a NoneType"),
    ],
)
def test_any_other_output_is_named(of_file, returns, message):
    with pytest.raises(UsageError, match=message):
        check_network(of_file("Net", returns=returns), info(3, 8, 8))


def test_another_number_of_outputs_is_named(of_file):
    with pytest.raises(UsageError, match=r"shape \(2, 7\); .*its last layer has to have num_classes=5"):
        check_network(of_file("Net", outputs=7), info(3, 8, 8))


def test_grey_images_for_a_network_for_colour_alone(of_file):
    with pytest.raises(UsageError, match="does not accept in_channels and the images have 1"):
        check_network(of_file("colour"), info(1, 8, 8))


def test_the_smallest_size_that_a_network_accepts_is_named(of_file):
    with pytest.raises(UsageError, match=r"3 x 16 x 16 in training mode: ValueError: too small .*have 37 x 37 pixels"):
        check_network(of_file("Large"), info(3, 16, 16))


def test_a_size_that_a_network_accepts_is_named_if_the_images_are_too_large(of_file):
    with pytest.raises(
        UsageError, match=r"too large .*; it accepts images of 32 x 32 pixels: set the data set's image"
    ):
        check_network(of_file("Small"), info(3, 64, 64))


@pytest.mark.parametrize(
    ("network", "message"),
    [
        ("Evaluated", r"in evaluation mode: AttributeError: .*'missing' \(.*nets.py, line 46\)$"),
        ("double", r"its weight conv.weight is torch.float64; build it in float32"),
        ("elsewhere", r"its weight conv.weight is on the device meta; build it on the CPU"),
        ("ends", r"cannot be built with .*: SystemExit: usage: train.py \(.*nets.py, line 55\)$"),
        ("Ends", r"fails for images of 3 x 8 x 8 in training mode: SystemExit: 3 \(.*nets.py, line 59\)$"),
    ],
)
def test_what_keeps_a_network_from_being_trained_is_named_with_its_place(of_file, network, message):
    with pytest.raises(UsageError, match=message):
        check_network(of_file(network), info(3, 8, 8))
