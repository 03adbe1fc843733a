"""Batch normalisation that was folded computes the same, with the values that its formulas give."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from kdtune.errors import UsageError
from kdtune.quantisation.batch_norm_folding import fold_batch_norms
from kdtune.quantisation.networks import exported


def with_statistics(layer, gamma, beta, mean, variance):
    with torch.no_grad():
        for tensor, value in ((layer.weight, gamma), (layer.bias, beta)):
            tensor.fill_(value)
        layer.running_mean.fill_(mean)
        layer.running_var.fill_(variance)
    return layer


def pointwise(weight, *, bias=None):
    layer = nn.Conv2d(1, 1, 1, bias=bias is not None)
    nn.init.constant_(layer.weight, weight)
    if bias is not None:
        nn.init.constant_(layer.bias, bias)
    return layer


def numbers(graph):
    """Return the parameters of a graph that its nodes read, as numbers."""
    read = [str(node.target) for node in graph.graph.nodes if node.op == "get_attr"]
    return [graph.state_dict()[name].item() for name in read]


@pytest.mark.parametrize(("bias", "folded"), [(None, -4.0), (7.0, 3.0)])
def test_a_convolution_takes_the_batch_norm_in(bias, folded):
    layers = nn.Sequential(pointwise(3.0, bias=bias), with_statistics(nn.BatchNorm2d(1, eps=1e-12), 2, 1, 5, 4))
    graph = exported(layers, (1, 2, 2))
    assert sorted(numbers(graph)) == pytest.approx(sorted([3.0, folded]))
    assert not [node for node in graph.graph.nodes if "batch_norm" in str(node.target)]


def test_a_batch_norm_without_a_convolution_becomes_a_multiplication_and_an_addition():
    layers = nn.Sequential(with_statistics(nn.BatchNorm2d(1, eps=1e-12), 2, 1, 5, 4), nn.ReLU(), pointwise(1.0))
    graph = exported(layers, (1, 2, 2))
    assert sorted(numbers(graph)) == pytest.approx([-4.0, 1.0, 1.0])
    assert graph(torch.full((2, 1, 2, 2), 7.0)).flatten().tolist() == [3.0] * 8


class SharedConvolution(nn.Module):
    """Its convolution has another user besides the batch normalisation, so its weights must not change."""

    def __init__(self):
        super().__init__()
        self.convolution = nn.Conv2d(1, 2, 1)
        self.norm = with_statistics(nn.BatchNorm2d(2), 3, 1, 2, 5)

    def forward(self, images):
        found = self.convolution(images)
        return self.norm(found) + found


@settings(max_examples=5, deadline=None)
@given(st.integers(0, 2**16), st.sampled_from(["chain", "shared", "without a scale"]))
def test_folding_changes_no_output(seed, form):
    torch.manual_seed(seed)
    norm = nn.BatchNorm2d(2, affine=form != "without a scale")
    norm.running_mean.normal_()
    norm.running_var.uniform_(0.1, 3)
    network = SharedConvolution() if form == "shared" else nn.Sequential(nn.Conv2d(1, 2, 3), norm, nn.ReLU())
    network.eval()
    images = torch.randn(3, 1, 4, 4)
    plain = torch.export.export(network, (images,)).module()
    fold_batch_norms(plain)
    assert torch.allclose(plain(images), network(images), atol=1e-5)


def test_a_batch_norm_without_statistics_of_its_own_is_refused():
    layers = nn.Sequential(nn.Conv2d(1, 2, 1), nn.BatchNorm2d(2, track_running_stats=False))
    with pytest.raises(UsageError, match="keeps no running statistics.*track_running_stats=True"):
        exported(layers, (1, 2, 2))
