"""Golden sizes of the networks, each at the size of its images."""

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from kdtune.energy.operation_counts import count_operations
from kdtune.specs.component import Component
from kdtune.tasks.detection.full_detectors import ssd300_vgg16, ssdlite_mobilenet_v2, vgg16_ssd_3000
from kdtune.tasks.detection.small_detectors import ssd_16_32_64_64, ssdlite_4_6_8_8, ssdlite_6_12_16_16
from kdtune.testing.networks import NetworkConformance

CELLS = {"scales": (0.08, 0.17, 0.32), "ratios": (2,)}


def parameters(network):
    return sum(one.numel() for one in network.parameters())


@pytest.mark.parametrize(
    ("build", "classes", "shape", "size", "anchors", "macs"),
    [
        (ssd300_vgg16, 20, (3, 300, 300), 26_285_486, 8732, 31_373_537_792),
        (vgg16_ssd_3000, 20, (3, 300, 300), 26_728_388, 3000, 30_711_987_712),
        (ssdlite_mobilenet_v2, 20, (3, 300, 300), 3_399_108, 3000, 660_844_976),
    ],
)
def test_full_networks_have_the_published_sizes(build, classes, shape, size, anchors, macs):
    with torch.device("meta"):
        network = build(shape[0], classes).eval()
    assert parameters(network) == size
    assert network.anchors(shape).shape == (anchors, 4)
    with torch.device("meta"):
        assert network(torch.zeros(2, *shape)).shape == (2, anchors * (classes + 5))
    with torch.device("meta"), FlopCounterMode(display=False) as counter:
        network(torch.zeros(1, *shape))
    assert counter.get_total_flops() // 2 == macs


def test_the_published_multiply_adds_of_ssdlite_include_normalisation():
    assert count_operations(ssdlite_mobilenet_v2(3, 20), 3, 300, 300).macs == 686_740_464


@pytest.mark.parametrize(
    ("build", "options", "classes", "shape", "size", "anchors"),
    [
        (ssd_16_32_64_64, {}, 10, (1, 64, 64), 95_020, 160),
        (ssdlite_6_12_16_16, {}, 10, (1, 64, 64), 6_558, 160),
        (ssd_16_32_64_64, CELLS, 3, (3, 128, 128), 97_616, 1280),
        (ssdlite_4_6_8_8, CELLS, 3, (3, 128, 128), 2_312, 1280),
    ],
)
def test_small_networks_have_the_measured_sizes(build, options, classes, shape, size, anchors):
    network = build(shape[0], classes, **options)
    assert parameters(network) == size and network.anchors(shape).shape == (anchors, 4) and network.training
    outputs = network.eval()(torch.zeros(2, *shape))
    assert outputs.shape == (2, anchors * (classes + 5))
    maps = network._maps(torch.zeros(2, *shape))
    assert torch.equal(outputs[:, : anchors * (classes + 1)].view(2, anchors, -1), network.head(maps)["cls_logits"])


def test_the_matched_pair_has_the_same_anchors_in_the_same_order():
    with torch.device("meta"):
        teacher, student = vgg16_ssd_3000(3, 20), ssdlite_mobilenet_v2(3, 20)
    anchors = student.anchors((3, 300, 300))
    assert torch.equal(anchors, teacher.anchors((3, 300, 300)))
    assert anchors[0].tolist() == pytest.approx([-22, -22, 38, 38], abs=1e-4)
    half = (60 * 105) ** 0.5 / 2  # the second box is the geometric mean of this scale and the next
    assert anchors[1].tolist() == pytest.approx([8 - half, 8 - half, 8 + half, 8 + half], abs=1e-3)


class TestSmall(NetworkConformance):
    """The conformance suite over the small detectors; the others take long."""

    task = "detection"
    image_shape = (1, 32, 32)

    @pytest.fixture(params=["ssd_16_32_64_64", "ssdlite_6_12_16_16", "ssdlite_4_6_8_8"])
    def network(self, request):
        return Component(name=request.param)
