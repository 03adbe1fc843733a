import pytest
import torch
from torchvision.models.detection._utils import SSDMatcher

from kdtune.tasks.detection.matching import best_objects, match


@pytest.mark.parametrize(
    ("quality", "expected"),
    [([[0.3, 0.2, 0.1], [0.6, 0.7, 0.1]], [0, 1, -1]), ([[0.6, 0.2], [0.7, 0.1]], [1, -1]), ([[0.5, 0.0]], [0, -1])],
)
def test_the_object_of_each_anchor_is_that_of_torchvision(quality, expected):
    quality = torch.tensor(quality)
    assert best_objects(quality[None]).tolist() == [expected] == [SSDMatcher(0.5)(quality).tolist()]


def test_random_overlaps_are_matched_like_in_torchvision():
    quality = torch.rand(20, 4, 30, generator=torch.Generator().manual_seed(0))
    assert best_objects(quality).tolist() == [SSDMatcher(0.5)(one).tolist() for one in quality]


ANCHORS = torch.tensor([[0.0, 0, 10, 10], [10, 0, 20, 10], [20, 0, 30, 10]])
NONE = [-1.0, 0, 0, 0, 0, 0]


def test_anchors_are_to_predict_classes_and_offsets_of_their_objects():
    objects = torch.tensor([[[4.0, 0, 0, 0, 10, 10], NONE], [NONE, NONE], [[2, 0, 0, 0, 4, 4], [0, 0, 12, 0, 20, 10]]])
    found = match(objects, ANCHORS)
    assert found.labels.tolist() == [[5, 0, 0], [0, 0, 0], [3, 1, 0]]
    assert found.offsets[0].tolist() == [[0.0] * 4] * 3 and found.offsets[1].abs().sum() == 0
    assert found.offsets[2, 1].tolist() == pytest.approx([10 * 0.1, 0, 5 * torch.tensor(0.8).log().item(), 0])


def test_difficult_objects_are_not_learned_and_images_may_have_no_objects():
    difficult = torch.tensor([[[4.0, 1, 0, 0, 10, 10]]])
    assert match(difficult, ANCHORS).labels.tolist() == [[0, 0, 0]]
    empty = match(torch.zeros(2, 0, 6), ANCHORS)
    assert empty.labels.tolist() == [[0, 0, 0]] * 2 and empty.offsets.shape == (2, 3, 4)
