"""The conformance suite of networks refuses those that break a rule, and says which."""

import pytest
import torch
from torch import nn

from kdtune.errors import UsageError
from kdtune.specs.component import Component
from kdtune.testing.networks import NetworkConformance
from tests.testing.refusal import refuses


class Net(nn.Module):
    def __init__(self, num_classes, in_channels):
        super().__init__()
        self.classifier = nn.Linear(in_channels * 64, num_classes)
        self.other = nn.Linear(2, 2)

    def forward(self, images):
        return self.classifier(images.flatten(1))


class Seeded(Net):
    def __init__(self, num_classes, in_channels):
        torch.manual_seed(7)
        super().__init__(num_classes, in_channels)


class Standardised(Net):
    def forward(self, images):
        logits = super().forward(images)
        return (logits - logits.mean(0)) / (logits.std(0, correction=0) + 1)


class Counting(Net):
    def __init__(self, num_classes, in_channels):
        super().__init__(num_classes, in_channels)
        self.register_buffer("passes", torch.zeros(()))

    def forward(self, images):
        self.passes += 1
        return super().forward(images)


class AlwaysDropping(Net):
    def forward(self, images):
        return super().forward(nn.functional.dropout(images, 0.5))


class Unregistered(Net):
    def __init__(self, num_classes, in_channels):
        super().__init__(num_classes, in_channels)
        self.shift = torch.randn(num_classes)

    def forward(self, images):
        return super().forward(images) + self.shift


class Fourier(Net):
    def forward(self, images):
        return super().forward(torch.fft.fft2(images).real)


def of_seven_classes(num_classes, in_channels):
    return Net(7, in_channels)


def component(name):
    return Component(name=f"{__name__}:{name}")


class OnSmallImages(NetworkConformance):
    image_shape = (1, 8, 8)


@pytest.mark.parametrize(
    ("network", "check", "message"),
    [
        (Seeded, "test_the_seed_decides_the_weights", "the same under two seeds"),
        (
            Net,
            "test_a_training_step_gives_every_parameter_a_finite_gradient",
            "no gradient: .*other.bias.*other.weight",
        ),
        (Standardised, "test_an_image_is_judged_by_itself_in_evaluation_mode", "depend on the other images"),
        (Counting, "test_evaluation_has_no_side_effect", r"changes \['passes'\]"),
        (AlwaysDropping, "test_evaluation_has_no_side_effect", "draws from torch's global generator"),
        (Unregistered, "test_saved_weights_give_the_same_outputs", "register everything"),
        (Fourier, "test_its_operations_are_counted", r"count as 0: \['fft_fft2'"),
    ],
)
def test_a_faulty_network_is_refused(network, check, message):
    refuses(OnSmallImages, check, network, message)


def test_another_number_of_logits_is_refused():
    with pytest.raises(UsageError, match="num_classes=10"):
        OnSmallImages().test_it_returns_logits(component("of_seven_classes"))


class Declaring(OnSmallImages):
    unused = ("other.bias", "other.weight")
    uncounted = ("fft_fft2",)


def test_what_is_declared_is_accepted():
    Declaring().test_a_training_step_gives_every_parameter_a_finite_gradient(component("Net"))
    Declaring().test_its_operations_are_counted(component("Fourier"))
