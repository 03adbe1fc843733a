import math

import pytest
import torch
from torchvision.models.detection._utils import BoxCoder
from torchvision.ops import box_iou

from kdtune.tasks.detection.boxes import area, clipped, decode, encode, overlaps


def boxes(count, seed=0, size=64.0):
    corners = torch.rand(count, 2, 2, generator=torch.Generator().manual_seed(seed)) * size
    return torch.cat([corners.amin(1), corners.amax(1) + 1], dim=1)


def test_offsets_of_a_box_by_hand():
    offsets = encode(torch.tensor([[5.0, 0, 25, 10]]), torch.tensor([[0.0, 0, 10, 10]]))
    assert offsets.tolist() == [pytest.approx([10, 0, 5 * math.log(2), 0])]


def test_offsets_and_boxes_are_those_of_torchvision():
    found, anchors, coder = boxes(50), boxes(50, seed=1), BoxCoder((10.0, 10.0, 5.0, 5.0))
    torch.testing.assert_close(encode(found, anchors), coder.encode_single(found, anchors))
    offsets = torch.randn(50, 4, generator=torch.Generator().manual_seed(2)) * 20
    torch.testing.assert_close(decode(offsets, anchors), coder.decode_single(offsets, anchors))
    torch.testing.assert_close(decode(encode(found, anchors), anchors), found, rtol=1e-4, atol=1e-3)


def test_overlaps_are_those_of_torchvision_and_never_undefined():
    one, other = boxes(20), boxes(30, seed=1)
    torch.testing.assert_close(overlaps(one, other), box_iou(one, other))
    together = overlaps(torch.stack([one, one.flip(0)]), torch.stack([other, other]))
    assert torch.equal(together[0], overlaps(one, other)) and torch.equal(together[1], overlaps(one.flip(0), other))
    flat = torch.tensor([[3.0, 3, 3, 9]])
    assert overlaps(flat, flat).tolist() == [[0.0]]


def test_boxes_are_cut_to_the_image():
    cut = clipped(torch.tensor([[-5.0, 2, 70, 90], [70, 2, 80, 9]]), height=32, width=64)
    assert cut.tolist() == [[0, 2, 64, 32], [64, 2, 64, 9]] and area(cut).tolist() == [64 * 30, 0]
