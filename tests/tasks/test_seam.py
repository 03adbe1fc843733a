"""A task with several pairs of logits for each image, which is known to nothing but this file, is trained as it is."""

from dataclasses import dataclass

import pytest
import torch
import torch.nn.functional as F  # noqa: N812 - the usual name

from kdtune.errors import UsageError
from kdtune.methods.losses import hkd
from kdtune.methods.soft_pairs import SoftPairs
from kdtune.models.building import build_network
from kdtune.specs.component import Component
from kdtune.tasks.classification.task import Classification
from kdtune.temperature.base import Temperature
from kdtune.training.captured_steps import CapturedSteps
from kdtune.training.distiller import Distiller
from kdtune.training.numerics import Arithmetic
from kdtune.training.teacher_logits import ReplayedTeacher
from tests.recipes import recipe_of
from tests.trainings import CLASSES, CPU

PLACES = 2
#: The second place counts three times as much as the first.
WEIGHTS = (0.5, 1.5)


@dataclass(frozen=True)
class Places(Classification):
    """Two predictions for each image, of which the second is to be the class after the image's own."""

    @property
    def output_size(self):
        return PLACES * self.classes

    def network(self, component, image_shape):
        return build_network(component, image_shape[0], self.output_size)

    def _flat(self, outputs, targets):
        labels = torch.stack([targets, (targets + 1) % self.classes], dim=1).flatten()
        return outputs.reshape(-1, self.classes), labels

    def label_loss(self, training, train):
        return lambda outputs, targets: F.cross_entropy(*self._flat(outputs, targets)) / 2

    def soft_pairs(self, student, teacher, targets):
        logits, labels = self._flat(student, targets)
        known = None if teacher is None else teacher.reshape(-1, self.classes)
        return SoftPairs(logits, known, labels, torch.tensor(WEIGHTS).repeat(len(targets)))

    def predict(self, outputs):
        return outputs[:, : self.classes].argmax(dim=1)

    def evaluate(self, model, part, arithmetic=None, captured=None, **kept):
        first = torch.nn.Sequential(model, Head(self.classes))
        return Classification.evaluate(self, first, part, arithmetic, **kept)


class Head(torch.nn.Module):
    """Takes the logits of the first place."""

    def __init__(self, classes):
        super().__init__()
        self.classes = classes

    def forward(self, outputs):
        return outputs[:, : self.classes]


TASK = Places(CLASSES)


def rows(epoch):
    return torch.randn(56, PLACES * CLASSES, generator=torch.Generator().manual_seed(epoch)) * 3


def trained(study, splits, point, captures=None):
    recipe = recipe_of(study, point)
    teacher = ReplayedTeacher(rows, CPU) if recipe.needs_teacher else None
    distiller = Distiller(recipe, 0, TASK, splits, CPU, teacher, Arithmetic(CPU), captures=captures)
    return distiller, [distiller.train_epoch() for _ in range(recipe.training.epochs)]


@pytest.mark.parametrize(
    "point",
    [{"tau": 4}, {"temperature": "stochastic"}, {"temperature": "stochastic", "draw": "sample"}, {"loss": "ce"}],
    ids=["fixed", "stochastic", "sample", "alone"],
)
def test_a_task_with_several_pairs_for_each_image_is_trained_the_same_captured_and_eagerly(study, splits, point):
    eager, metrics = trained(study, splits, point)
    captured, same = trained(study, splits, point, CapturedSteps(CPU))
    assert metrics == same and metrics[-1].val_accuracy == eager.validate().metrics["accuracy"]
    torch.testing.assert_close(eager.state_dict()["model"], captured.state_dict()["model"], rtol=0, atol=0)


def test_losses_and_temperatures_see_the_pairs_and_their_weights(study, splits):
    distiller, _ = trained(study.model_copy(update={"training": study.training.scaled_to(1)}), splits, {"tau": 4})
    index = torch.arange(5)
    images, targets = splits.train.batch(index, None)
    seen = []

    def temperature(student, teacher, labels):
        seen.append((student.detach().clone(), teacher, labels))
        return Temperature.same(torch.tensor([[2.0], [3.0], [4.0], [5.0], [6.0]]))

    asked = ReplayedTeacher(rows, CPU)
    asked.begin_epoch(0)
    loss = distiller._training_step.take(images, targets, index, asked, temperature)
    (student, teacher, given), labels = seen[0], TASK._flat(torch.zeros(5, PLACES * CLASSES), targets)[1]
    assert torch.equal(given, labels)
    assert student.shape == teacher.shape == (10, CLASSES)
    taus = [2, 2, 3, 3, 4, 4, 5, 5, 6, 6]
    divergences = [
        weight * hkd(student[[n]], teacher[[n]], labels[[n]], Temperature.same(torch.tensor(float(tau))), 1.0)
        for n, (tau, weight) in enumerate(zip(taus, WEIGHTS * 5, strict=True))
    ]
    by_hand = study.alpha * sum(divergences) / 10 + (1 - study.alpha) * F.cross_entropy(student, labels) / 2
    assert loss.item() == pytest.approx(by_hand.item(), rel=1e-5)


def test_a_loss_that_cannot_serve_a_task_is_refused_with_the_remedy(study, splits, tmp_path):
    file = tmp_path / "losses.py"
    file.write_text(
        "def plain(student_logits, teacher_logits, labels, temperature, alpha):\n    return student_logits.mean()\n"
        "def half(student_logits, teacher_logits, labels, temperature, alpha, label_loss=None):\n"
        "    return label_loss()\n"
    )
    recipe = recipe_of(study, {"tau": 4})
    for name, missing in (("plain", "label_loss"), ("half", "pair_weights")):
        own = recipe.model_copy(update={"method": Component(name=f"{file}:{name}")})
        with pytest.raises(UsageError, match=rf"losses.py:{name}.*keyword argument {missing}; define it as fn\("):
            Distiller(own, 0, TASK, splits, CPU, ReplayedTeacher(rows, CPU)).train_epoch()
    served = recipe.model_copy(update={"method": Component(name=f"{file}:plain")})
    narrow = ReplayedTeacher(lambda epoch: rows(epoch)[:, :CLASSES], CPU)
    Distiller(served, 0, Classification(CLASSES), splits, CPU, narrow).train_epoch()


def test_a_task_is_found_by_the_name_in_the_study(study):
    from kdtune.tasks.loading import objective_of, task_of

    assert task_of(study) == Classification(10)
    assert objective_of(study).name == "accuracy"
