"""Operations of networks: the count, the operators that it leaves out, and networks that cannot be traced."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from kdtune.energy.operation_counts import OperationCount, count_operations
from kdtune.errors import UsageError


def test_a_linear_layer_has_one_multiply_add_per_weight():
    model = nn.Sequential(nn.Flatten(), nn.Linear(2 * 3 * 5, 7))
    assert count_operations(model, channels=2, height=3, width=5) == OperationCount(2 * 3 * 5 * 7)


@pytest.mark.parametrize("training", [True, False])
def test_counting_leaves_the_model_as_it_was(training):
    model = nn.Sequential(nn.BatchNorm2d(1), nn.Flatten(), nn.Linear(4, 2)).train(training)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    count_operations(model, 1, 2, 2)
    assert model.training is training
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


class Net(nn.Module):
    """A convolution of 8 filters, then what ``mix`` makes of (batch, 36, 8), then a linear layer."""

    def __init__(self, mix=lambda values: values):
        super().__init__()
        self.stem, self.head, self.mix = nn.Conv2d(1, 8, 3), nn.Linear(8, 10), mix

    def forward(self, images):
        return self.head(self.mix(self.stem(images).flatten(2).transpose(1, 2)).mean(1))


MACS = 9 * 8 * 36 + 8 * 10


@pytest.mark.parametrize(
    ("mix", "uncounted"),
    [
        (lambda values: F.scaled_dot_product_attention(values, values, values), ("scaled_dot_product_attention",)),
        (lambda values: torch.fft.fft2(values).real, ("fft_fft2",)),
        (lambda values: F.silu(values).mul_(torch.sigmoid(values)).add(F.gelu(values)).softmax(-1).cumsum(1), ()),
        (lambda values: F.dropout(F.relu6(values).clamp(0, 1).roll(1, 1), training=True), ()),
    ],
)
def test_operators_that_count_as_0_are_named_unless_they_are_cheap(mix, uncounted):
    assert count_operations(Net(mix), 1, 8, 8) == OperationCount(MACS, uncounted)


def test_a_recurrent_layer_is_named():
    recurrent = nn.GRU(8, 8, batch_first=True)
    network = Net(lambda values: recurrent(values)[0])
    network.recurrent = recurrent
    assert count_operations(network, 1, 8, 8) == OperationCount(MACS, ("gru",))
    # Its weights prevent tracing if they are not the network's own; run by torch, it consists of matrix products.
    by_running = count_operations(Net(lambda values: recurrent(values)[0]), 1, 8, 8)
    assert by_running == OperationCount(MACS + 36 * 2 * 3 * 8 * 8)


def test_a_network_that_cannot_be_traced_is_counted_by_running_it():
    network = Net().train()
    network.stem = torch.jit.script(network.stem)  # fvcore registers hooks, which scripted layers do not allow
    assert count_operations(network, 1, 8, 8) == OperationCount(MACS)
    assert network.training and network.head.training
    network.mix = lambda values: F.scaled_dot_product_attention(values, values, values)
    found = count_operations(network, 1, 8, 8)
    assert found in (
        OperationCount(MACS + 2 * 36 * 36 * 8),  # torch divides attention into matrix products, or
        OperationCount(MACS, ("scaled_dot_product_flash_attention_for_cpu",)),
    )
    network.mix = lambda values: torch.fft.fft2(values).real
    assert count_operations(network, 1, 8, 8) == OperationCount(MACS, ("fft_c2c",))


def test_a_network_that_does_not_run_at_all_is_named():
    def fail(values):
        raise ValueError("needs two images")

    network = Net(fail)
    with pytest.raises(
        UsageError, match=r"model nets.py:Net: its multiply-adds cannot be counted \(ValueError: needs two"
    ):
        count_operations(network, 1, 8, 8, "nets.py:Net")
    assert network.training
