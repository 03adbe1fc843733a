import contextlib
import io

import numpy as np
import pytest
import torch

from kdtune.tasks.detection.average_precision import COCO_OVERLAPS, coco_precision, mean_of, voc_results

DIFFICULT = 1.0


def objects(*rows):
    """Objects of one image, (class, difficult, box)."""
    return torch.tensor([[[label, difficult, *box] for label, difficult, box in rows]], dtype=torch.float32)


def found(*rows):
    """Detections of one image, (class, score, box)."""
    return torch.tensor([[[label, score, *box] for label, score, box in rows]], dtype=torch.float32)


def box(place, width=10.0):
    return (place, 0, place + width, 10)


def voc(detections, known, label=0, classes=1):
    return voc_results(detections, known, classes)[label]


def coco(detections, known):
    return coco_precision(detections, known, 1)


def test_precision_at_eleven_points_and_as_an_area():
    known = objects((0, 0, box(0)), (0, 0, box(100)), (0, 0, box(200)))
    result = voc(found((0, 0.9, box(0)), (0, 0.8, box(50)), (0, 0.7, box(100))), known)
    assert (result.objects, result.detections) == (3, 3)
    assert result.eleven_points == pytest.approx(6 / 11) and result.area == pytest.approx(5 / 9)


#: Two objects, and two detections that overlap the first of them most.
CROWDED = (
    objects((0, 0, (0, 0, 10, 10)), (0, 0, (0, 0, 10, 5))),
    found((0, 0.9, (0, 0, 10, 10)), (0, 0.8, (0, 0, 10, 9))),
)


def test_a_detection_counts_for_the_object_that_it_overlaps_most_in_voc_and_for_a_free_one_in_coco():
    known, detections = CROWDED
    assert voc(detections, known).eleven_points == pytest.approx(6 / 11)
    assert coco(detections, known)[0.5] == pytest.approx(1.0)


def test_an_overlap_of_exactly_one_half_is_wrong_in_voc_and_right_in_coco():
    known, detections = objects((0, 0, box(0))), found((0, 0.9, box(0, 5.0)))
    assert voc(detections, known).eleven_points == 0
    assert coco(detections, known)[0.5] == pytest.approx(1.0) and coco(detections, known)[0.55] == 0


def test_difficult_objects_need_not_be_found_and_their_detections_are_ignored():
    known = objects((0, 0, box(0)), (0, DIFFICULT, box(100)))
    detections = found((0, 0.9, box(100)), (0, 0.8, box(100)), (0, 0.7, box(0)))
    result = voc(detections, known)
    assert (result.objects, result.detections, result.eleven_points, result.area) == (1, 1, 1.0, 1.0)
    assert coco(detections, known)[0.5] == pytest.approx(1.0)
    assert voc(detections, objects((0, 0, box(0)), (0, 0, box(100)))).eleven_points < 1


def test_classes_and_images_are_apart():
    known = torch.cat([objects((0, 0, box(0))), objects((1, 0, box(0)))])
    detections = torch.cat([found((1, 0.9, box(0))), found((1, 0.8, box(0)))])
    results = voc_results(detections, known, 3)
    assert [one.eleven_points for one in results] == [0, 0.5, None]
    assert mean_of([one.eleven_points for one in results]) == 0.25
    assert [one.detections for one in results] == [0, 2, 0]


def test_without_objects_nothing_is_defined_and_without_detections_all_is_0():
    none, no_detections = torch.tensor([[[-1.0, 0, 0, 0, 0, 0]]]), torch.tensor([[[-1.0, 0, 0, 0, 0, 0]]])
    for known in (none, torch.zeros(1, 0, 6)):
        assert voc(found((0, 0.9, box(0))), known).eleven_points is None
        assert set(coco(found((0, 0.9, box(0))), known).values()) == {None}
    assert voc(no_detections, objects((0, 0, box(0)))).eleven_points == 0
    assert voc(torch.zeros(1, 0, 6), objects((0, 0, box(0)))).area == 0
    assert coco(no_detections, objects((0, 0, box(0))))[0.5] == 0


def random_case(seed, images=12, classes=3, *, apart=False):
    """Objects, ``apart`` or not, and detections of which about half are near them."""
    draw = torch.Generator().manual_seed(seed)
    corner, size = torch.rand(images, 5, 2, generator=draw) * 80, 8 + torch.rand(images, 5, 2, generator=draw) * 30
    if apart:
        corner = corner + 1000 * torch.arange(5.0).view(1, 5, 1)
    label = torch.randint(classes, (images, 5, 1), generator=draw).float()
    known = torch.cat([label, torch.zeros(images, 5, 1), corner, corner + size], dim=2)
    known[torch.rand(images, 5, generator=draw) < 0.3] = torch.tensor([-1.0, 0, 0, 0, 0, 0])
    near = known.repeat(1, 2, 1)
    near[..., 2:] += torch.randn(near[..., 2:].shape, generator=draw) * 3
    near[..., 4:] = near[..., 4:].maximum(near[..., 2:4] + 1)
    near[..., 1] = torch.rand(images, 10, generator=draw)
    order = near[..., 1].argsort(dim=1, descending=True)
    return near.gather(1, order.unsqueeze(2).expand(-1, -1, 6)), known


def evaluated_by_pycocotools(detections, known, overlaps, recalls=None):
    """The average precision of each class and overlap by pycocotools, (overlaps, classes); NaN without objects."""
    pytest.importorskip("pycocotools", reason="the extra 'detection' is not installed")
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    def rows(each, kind):
        for image, found in enumerate(each.tolist()):
            for label, more, left, top, right, bottom in found:
                if label >= 0:
                    box = [left, top, right - left, bottom - top]
                    common = {"image_id": image, "category_id": int(label), "bbox": box, "area": box[2] * box[3]}
                    yield {**common, "score": more} if kind == "found" else {**common, "iscrowd": int(more)}

    truth, classes = COCO(), int(known[..., 0].max()) + 1
    truth.dataset = {
        "images": [{"id": image} for image in range(len(known))],
        "categories": [{"id": label} for label in range(classes)],
        "annotations": [{"id": number, **row} for number, row in enumerate(rows(known, "known"), start=1)],
    }
    with contextlib.redirect_stdout(io.StringIO()):
        truth.createIndex()
        evaluation = COCOeval(truth, truth.loadRes(list(rows(detections, "found"))), "bbox")
        evaluation.params.iouThrs = np.array(overlaps)
        if recalls is not None:
            evaluation.params.recThrs = np.array(recalls)
        evaluation.evaluate()
        evaluation.accumulate()
    precision = evaluation.eval["precision"][:, :, :, 0, -1]  # all sizes, the 100 best detections
    return np.where(precision > -1, precision, np.nan).mean(axis=1)


@pytest.mark.parametrize("seed", range(3))
def test_coco_precision_is_that_of_pycocotools(seed):
    detections, known = random_case(seed)
    theirs, ours = evaluated_by_pycocotools(detections, known, COCO_OVERLAPS), coco_precision(detections, known, 3)
    assert [*ours.values()] == pytest.approx(theirs.mean(axis=1), abs=1e-9)
    assert 0.05 < mean_of([*ours.values()]) < 0.9


def test_voc_and_coco_agree_where_no_object_can_be_found_twice():
    detections, known = random_case(4, apart=True)
    results, recalls = voc_results(detections, known, 3), [step / 10 for step in range(11)]
    [theirs] = evaluated_by_pycocotools(detections, known, [0.5], recalls)
    assert [one.eleven_points for one in results] == pytest.approx(theirs, abs=1e-9)


def test_voc_and_coco_differ_where_another_object_is_free():
    known, detections = CROWDED
    [[theirs]] = evaluated_by_pycocotools(detections, known, [0.5])
    assert theirs == pytest.approx(coco(detections, known)[0.5]) == 1
    assert voc(detections, known).eleven_points == pytest.approx(6 / 11)


def brute_force(detections, known, label):
    """VOC's 11-point precision with plain loops."""
    rows = [
        (score.item(), image, where)
        for image, each in enumerate(detections)
        for one, score, where in ((row[0], row[1], row[2:].tolist()) for row in each)
        if one == label
    ]
    rows.sort(key=lambda row: -row[0])
    used, right = set(), []
    for _, image, (x, y, right_x, bottom) in rows:
        best, place = -1.0, None
        for number, row in enumerate(known[image].tolist()):
            if row[0] != label:
                continue
            width = max(0, min(right_x, row[4]) - max(x, row[2]))
            height = max(0, min(bottom, row[5]) - max(y, row[3]))
            areas = (right_x - x) * (bottom - y) + (row[4] - row[2]) * (row[5] - row[3])
            if width * height / (areas - width * height) > best:
                best, place = width * height / (areas - width * height), (image, number)
        right.append(best > 0.5 and place not in used)
        if best > 0.5:
            used.add(place)
    objects_of_class = int((known[..., 0] == label).sum())
    points = [(sum(right[: n + 1]) / objects_of_class, sum(right[: n + 1]) / (n + 1)) for n in range(len(right))]
    return sum(max((p for r, p in points if r >= t / 10 - 1e-12), default=0) for t in range(11)) / 11


@pytest.mark.parametrize("seed", range(3))
def test_voc_precision_is_that_of_plain_loops(seed):
    detections, known = random_case(seed)
    for label, result in enumerate(voc_results(detections, known, 3)):
        assert result.eleven_points == pytest.approx(brute_force(detections, known, label)) and result.area > 0
