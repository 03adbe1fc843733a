"""Prepared and converted networks: known values, sizes, batches, and refusals."""

import pytest
import torch
from torch import nn

from kdtune.errors import UsageError
from kdtune.quantisation.networks import (
    Int8Student,
    PreparedStudent,
    converted,
    exported,
    load_int8,
    save_int8,
    tensor_bytes,
)
from kdtune.specs.quantisation import Quantisation

pytest.importorskip("torchao")

SHAPE = (1, 4, 4)


def network():
    torch.manual_seed(0)
    layers = nn.Sequential(nn.Conv2d(1, 3, 3, bias=False), nn.BatchNorm2d(3), nn.ReLU(), nn.Flatten(), nn.Linear(12, 2))
    layers(torch.randn(64, *SHAPE))  # statistics of the normalisation
    return layers


@pytest.fixture(scope="module")
def prepared():
    """A network after calibration."""
    made = PreparedStudent(network(), Quantisation(kind="ptq", reduce_range=False), SHAPE)
    made.train()
    for seed in range(3):
        made(torch.randn(16, *SHAPE, generator=torch.Generator().manual_seed(seed)))
    return made.eval()


@pytest.fixture(scope="module")
def int8(prepared):
    return converted(prepared)


def test_the_operators_round_to_even_steps_and_saturate():
    from torchao.quantization.pt2e.fake_quantize import FakeQuantize  # noqa: F401 - registers the operators

    given = torch.tensor([-0.1, 0.26, 30.0])
    rounded = torch.ops.quantized_decomposed.quantize_per_tensor(given, 0.1, 0, 0, 255, torch.uint8)
    found = torch.ops.quantized_decomposed.dequantize_per_tensor(rounded, 0.1, 0, 0, 255, torch.uint8)
    assert found.tolist() == pytest.approx([0.0, 0.3, 25.5])


def test_weights_have_a_scale_for_each_channel():
    layer = nn.Linear(2, 2, bias=False)
    with torch.no_grad():
        layer.weight.copy_(torch.tensor([[2.55, -1.0], [0.0, -0.255]]))
    made = PreparedStudent(nn.Sequential(nn.Flatten(), layer), Quantisation(kind="ptq"), (1, 1, 2))
    made(torch.randn(4, 1, 1, 2))
    tensors = converted(made).state_dict()
    scales = next(one for name, one in tensors.items() if "scale" in name)
    weights = next(one for one in tensors.values() if one.dtype is torch.int8)
    assert scales.tolist() == pytest.approx([0.02, 0.002])  # max |w| / 127.5
    assert weights.tolist() == [[127, -50], [0, -128]]


def test_activations_use_seven_bits_where_eight_could_overflow(prepared):
    reduced = PreparedStudent(network(), Quantisation(kind="ptq", reduce_range=True), SHAPE)
    for made, greatest in ((reduced, 127), (prepared, 255)):
        found = {one.quant_max for one in made.graph.modules() if getattr(one, "dtype", None) is torch.uint8}
        assert found == {greatest}


def test_the_int8_network_has_only_the_tensors_that_it_reads(int8):
    tensors = int8.state_dict()
    read = {str(node.target) for node in int8.graph.nodes if node.op == "get_attr"}
    assert tensors.keys() == read
    whole = sum(one.numel() for one in tensors.values() if one.dtype is torch.int8)
    assert whole == 3 * 9 + 2 * 12  # every weight of a convolution or a linear layer
    # Weights, two biases, and for each channel a scale (4 bytes) and a zero point (8 bytes).
    assert tensor_bytes(tensors) == whole + 4 * (3 + 2) + (4 + 8) * (3 + 2)


def test_a_counter_of_batches_is_not_part_of_the_size():
    assert tensor_bytes(network().state_dict()) == 4 * (27 + 4 * 3 + 24 + 2)


def test_it_predicts_what_the_float_network_predicts_about(prepared, int8):
    images = torch.randn(50, *SHAPE, generator=torch.Generator().manual_seed(9))
    wanted = exported(network(), SHAPE)(images)
    found = Int8Student(int8)(images)
    assert (found - wanted).abs().max() < 0.05 * wanted.abs().max()
    assert not torch.equal(found, wanted)


def test_converting_leaves_the_prepared_network_as_it_is(prepared):
    before = {name: one.clone() for name, one in prepared.state_dict().items()}
    converted(prepared)
    assert all(torch.equal(one, before[name]) for name, one in prepared.state_dict().items())


def test_its_file_gives_the_same_for_any_batch(int8, tmp_path):
    save_int8(int8, SHAPE, tmp_path / "student-int8.pt2")
    written = load_int8(tmp_path / "student-int8.pt2")
    for images in (1, 7):
        given = torch.randn(images, *SHAPE)
        assert torch.equal(written(given), int8(given))


def test_networks_that_differ_in_weights_alone_are_exported_once(monkeypatch):
    count = []
    export = torch.export.export
    monkeypatch.setattr(torch.export, "export", lambda *args, **options: count.append(1) or export(*args, **options))
    networks = [network().eval() for _ in range(3)]
    for scale, one in enumerate(networks, start=1):
        one[4].weight.data.mul_(scale)
        one[1].running_mean.add_(scale)
    images = torch.randn(5, *SHAPE, generator=torch.Generator().manual_seed(9))
    graphs = [exported(one, SHAPE, "the same but for weights") for one in networks]
    assert len(count) == 1
    assert all(
        torch.allclose(graph(images), one(images), atol=1e-5) for graph, one in zip(graphs, networks, strict=True)
    )
    assert not torch.allclose(graphs[0](images), graphs[1](images), atol=1e-3)
    exported(networks[0], SHAPE, "another")
    assert len(count) == 2


class Branching(nn.Module):
    """Its path depends on values, which no graph can express."""

    def forward(self, images):
        return images.flatten(1) if images.sum() > 0 else -images.flatten(1)


def test_a_network_that_cannot_be_exported_is_refused_with_the_reason_in_one_line():
    with pytest.raises(UsageError, match="(?i)torch.export does not accept it: .*data-dependent") as refused:
        exported(Branching(), SHAPE)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("kind", ["qat", "ptq"])
def test_a_network_without_a_layer_that_can_be_quantised_is_refused(kind):
    layers = nn.Sequential(nn.MaxPool2d(2), nn.Flatten(), nn.LayerNorm(4))
    with pytest.raises(UsageError, match="finds no layer in it with an 8-bit operator"):
        PreparedStudent(layers, Quantisation(kind=kind), SHAPE)
