"""Grad-CAM compared with what it is by hand, and networks for which there is none."""

import pytest
import torch
from torch import nn

from kdtune.models.building import build_network
from kdtune.specs.component import Component
from kdtune.tasks.classification.grad_cam import grad_cam


class Pooled(nn.Module):
    """A convolution that copies the image into two channels, and logits that are means of these channels."""

    def __init__(self, after: nn.Module | None = None):
        super().__init__()
        self.convolution = nn.Conv2d(1, 2, 1, bias=False)
        self.convolution.weight.data = torch.tensor([1.0, -1.0]).view(2, 1, 1, 1)
        self.after = after or nn.Identity()

    def forward(self, images):
        return self.after(self.convolution(images)).mean((2, 3))


def test_the_map_is_the_weighted_sum_of_the_channels_without_its_negative_part():
    images = torch.tensor([[[[1.0, -2.0], [4.0, 0.0]]]])
    found = grad_cam(Pooled().requires_grad_(False), images, torch.tensor([0]))
    assert found.tolist() == [[[0.25, 0.0], [1.0, 0.0]]]
    found = grad_cam(Pooled().requires_grad_(False), images, torch.tensor([1]))
    assert found.tolist() == [[[0.0, 1.0], [0.0, 0.0]]]


def test_a_map_without_a_positive_part_is_empty_and_no_gradient_is_left():
    network = Pooled()
    found = grad_cam(network, torch.full((2, 1, 3, 3), -1.0), torch.tensor([0, 0]))
    assert found.count_nonzero() == 0
    assert network.convolution.weight.grad is None
    assert not network.convolution._forward_hooks


def test_layers_that_change_their_input_in_place_are_allowed():
    class Shifting(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = Pooled(nn.ReLU(inplace=True))

        def forward(self, images):
            return self.inner(images.sub_(1.0))

    images = torch.tensor([[[[2.0, 1.0], [3.0, 0.0]]]])
    assert grad_cam(Shifting(), images, torch.tensor([0])).tolist() == [[[0.5, 0.0], [1.0, 0.0]]]
    assert images.flatten().tolist() == [2.0, 1.0, 3.0, 0.0]


def test_a_network_without_a_convolution_has_no_map():
    network = nn.Sequential(nn.Flatten(), nn.Linear(4, 2))
    assert grad_cam(network, torch.zeros(1, 1, 2, 2), torch.tensor([0])) is None


@pytest.mark.parametrize("name", ["convnet_2_4_4", "resnet20", "mobilenet_v2", "shufflenet_v2", "vgg8", "wrn_16_1"])
def test_built_in_networks_have_a_map_of_the_size_of_the_images(name):
    network = build_network(Component(name=name), 3, 10).eval().requires_grad_(False)
    found = grad_cam(network, torch.rand(1, 3, 32, 32, generator=torch.Generator().manual_seed(0)), torch.tensor([3]))
    assert found.shape == (1, 32, 32)
    assert found.min() >= 0 and found.max() <= 1
