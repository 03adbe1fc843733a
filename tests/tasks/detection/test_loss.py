import pytest
import torch
import torch.nn.functional as F  # noqa: N812 - the usual name

from kdtune.methods.losses import cmc, dml, hkd
from kdtune.tasks.detection.loss import bounded, box_loss, label_loss, pair_weights, selected
from kdtune.tasks.detection.matching import Matched
from kdtune.tasks.detection.options import Options
from kdtune.temperature.base import Temperature

CLASSES = 2


def random(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def targets(labels, seed=3):
    labels = torch.tensor(labels)
    return Matched(labels, random(*labels.shape, 4, seed=seed) * (labels > 0)[..., None])


def by_hand(logits, labels):
    """The selected anchors, image by image."""
    chosen = torch.zeros(labels.shape, dtype=torch.bool)
    for image, (rows, classes) in enumerate(zip(logits, labels, strict=True)):
        losses = F.cross_entropy(rows, classes, reduction="none")
        negatives = sorted((one for one in range(len(classes)) if classes[one] == 0), key=lambda one: -losses[one])
        positives = [one for one in range(len(classes)) if classes[one] > 0]
        chosen[image, positives + negatives[: 3 * len(positives)]] = True
    return chosen


LABELS = [[0, 1, 0, 0, 0, 0, 0, 0], [0] * 8, [2, 1, 2, 0, 0, 0, 0, 0]]


def test_the_hardest_of_the_background_are_selected_in_each_image():
    logits, known = random(3, 8, CLASSES + 1), targets(LABELS)
    chosen = selected(logits, known.labels)
    assert torch.equal(chosen, by_hand(logits, known.labels))
    assert chosen.sum(1).tolist() == [4, 0, 8]


@pytest.mark.parametrize("loss", [hkd, cmc, dml])
def test_the_loss_is_the_sum_over_the_selected_anchors_divided_by_the_number_of_objects(loss):
    student, teacher, known = random(3, 8, 3), random(3, 8, 3, seed=1) * 3, targets(LABELS)
    tau, alpha, chosen = Temperature.same(torch.tensor(4.0)), 0.9, by_hand(student, known.labels)
    found = loss(
        *(student.flatten(0, 1), teacher.flatten(0, 1), known.labels.flatten(), tau, alpha),
        label_loss=lambda: label_loss(student, known),
        pair_weights=pair_weights(student, known),
    )
    rows, rows_of_teacher, labels = student[chosen], teacher[chosen], known.labels[chosen]
    of_pairs = loss(rows, rows_of_teacher, labels, tau, 1.0) * len(rows)
    expected = (alpha * of_pairs + (1 - alpha) * F.cross_entropy(rows, labels, reduction="sum")) / 4
    assert found.item() == pytest.approx(expected.item(), rel=1e-5)


def test_the_weight_of_the_background_is_on_its_pairs_alone():
    logits, known = random(3, 8, 3), targets(LABELS)
    plain, heavy = (pair_weights(logits, known, weight).view(3, 8) for weight in (1.0, 1.5))
    assert torch.equal(heavy[known.labels > 0], plain[known.labels > 0])
    assert torch.allclose(heavy[known.labels == 0], 1.5 * plain[known.labels == 0])


@pytest.mark.parametrize(
    ("tau", "kl", "weighted", "squares"),
    [(1, 0.13289, 0.1329, 1.3333), (2, 0.09889, 0.3955, 0.3333), (4, 0.03099, 0.4958, 0.0833)],
)
def test_distillation_terms_of_one_anchor(tau, kl, weighted, squares):
    student, teacher = torch.tensor([[2.0, 0, 0]]), torch.tensor([[4.0, 0, 0]])
    given = (student, teacher, torch.tensor([0]), Temperature.same(torch.tensor(float(tau))), 1.0)
    assert [loss(*given).item() for loss in (dml, hkd, cmc)] == pytest.approx([kl, weighted, squares], abs=6e-5)


def test_the_teacher_bounds_the_loss_of_the_boxes():
    known = Matched(torch.tensor([[1, 1, 0]]), torch.zeros(1, 3, 4))
    own, teachers = torch.tensor([[[1.0, 0, 0, 0], [1, 1, 0, 0], [9, 9, 9, 9]]]), torch.tensor([[[1.1], [1.0], [0.0]]])
    teachers = torch.cat([teachers, torch.zeros(1, 3, 3)], dim=2)
    assert bounded(own, teachers, known).tolist() == [[0, 2, 0]]
    assert bounded(own, teachers, known, margin=0.5).tolist() == [[1, 2, 0]]
    smooth = box_loss(own, teachers, known, Options())
    assert smooth.item() == pytest.approx(3 * 0.5 / 2)
    both = box_loss(own, teachers, known, Options(bounded_weight=0.5))
    assert both.item() == pytest.approx((3 * 0.5 + 0.5 * 2) / 2)


def test_a_batch_without_objects_has_the_loss_0_and_a_gradient_of_0():
    logits, offsets, known = random(2, 8, 3).requires_grad_(), random(2, 8, 4).requires_grad_(), targets([[0] * 8] * 2)
    weights = pair_weights(logits, known)
    loss = label_loss(logits, known) + box_loss(offsets, None, known, Options())
    loss = loss + hkd(
        *(logits.flatten(0, 1), random(16, 3, seed=1), known.labels.flatten()),
        *(Temperature.same(torch.tensor(4.0)), 1.0),
        pair_weights=weights,
    )
    loss.backward()
    assert loss.item() == 0 and logits.grad.abs().sum() == offsets.grad.abs().sum() == 0
