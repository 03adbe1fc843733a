import torch
from torchvision.ops import batched_nms, nms

from kdtune.tasks.detection.boxes import clipped, decode
from kdtune.tasks.detection.predictions import BOX, CLASS, MOST, SCORE, all_together, detections, suppressed

ANCHORS = torch.tensor([[x, y, x + 16.0, y + 16.0] for x in range(0, 64, 8) for y in range(0, 64, 8)])


def outputs(images=3, classes=4, seed=0):
    draw = torch.Generator().manual_seed(seed)
    logits = torch.randn(images, len(ANCHORS), classes + 1, generator=draw) * 3
    return logits, torch.randn(images, len(ANCHORS), 4, generator=draw)


def test_suppression_is_that_of_torchvision():
    draw = torch.Generator().manual_seed(1)
    corner = torch.rand(3, 5, 40, 2, generator=draw) * 30
    boxes = torch.cat([corner, corner + 5 + torch.rand(3, 5, 40, 2, generator=draw) * 20], dim=3)
    scores = torch.rand(3, 5, 40, generator=draw).sort(dim=2, descending=True).values
    scores[0, 2, 30:] = scores[1] = 0
    kept = suppressed(boxes, scores)
    boxes, scores, kept = boxes.flatten(0, 1), scores.flatten(0, 1), kept.flatten(0, 1)
    assert torch.equal(all_together(boxes, scores), kept)
    for row, (some, good) in enumerate(zip(boxes, scores, strict=True)):
        count = int((good > 0).sum())
        assert kept[row].nonzero().flatten().tolist() == sorted(nms(some[:count], good[:count], 0.45).tolist())


def test_detections_are_those_of_torchvisions_functions():
    logits, offsets = outputs()
    found = detections(logits, offsets, ANCHORS, 64, 64)
    for image in range(3):
        scores, boxes = logits[image].softmax(1)[:, 1:], clipped(decode(offsets[image], ANCHORS), 64, 64)
        anchor, label = (scores > 0.01).nonzero(as_tuple=True)
        keep = batched_nms(boxes[anchor], scores[anchor, label], label, 0.45)[:200]
        expected = torch.cat([label[keep, None], scores[anchor, label][keep, None], boxes[anchor][keep]], dim=1)
        rows = found[image][found[image, :, CLASS] >= 0]
        torch.testing.assert_close(rows, expected)


def test_an_image_has_the_same_detections_alone_and_best_first():
    logits, offsets = outputs()
    whole = detections(logits, offsets, ANCHORS, 64, 64)
    alone = [detections(logits[[image]], offsets[[image]], ANCHORS, 64, 64) for image in range(3)]
    assert whole.shape == (3, MOST, 6) and torch.equal(whole, torch.cat(alone))
    assert (whole[..., SCORE].diff(dim=1) <= 0).all() and whole[..., BOX].min() >= 0 and whole[..., BOX].max() <= 64


def test_an_image_may_have_no_detections():
    logits = torch.zeros(2, len(ANCHORS), 5)
    logits[..., 0] = 20.0
    found = detections(logits, torch.zeros(2, len(ANCHORS), 4), ANCHORS, 64, 64)
    assert (found[..., CLASS] == -1).all() and found[..., SCORE].sum() == 0
