"""Weights of classes in the loss with the labels, of students and teachers."""

from dataclasses import replace
from math import log

import numpy as np
import pytest
import torch
from sklearn.utils.class_weight import compute_class_weight

from kdtune.artifacts.training_context import TrainingContext
from kdtune.errors import SpecError, UsageError
from kdtune.methods.losses import dml, hkd
from kdtune.specs import load_study
from kdtune.specs.component import Component
from kdtune.specs.teacher_identity import teacher_key
from kdtune.tasks.classification.metrics import balanced_weights
from kdtune.temperature.base import Temperature
from kdtune.training.captured_steps import CapturedSteps
from kdtune.training.distiller import Distiller
from tests.recipes import identity_of, recipe_of
from tests.studies import small_study
from tests.trainings import CPU, TASK

FIXED, ALONE = {"tau": 4}, {"loss": "ce"}
WEIGHTS = (1.0, 2.0, 5.0)

#: Probabilities of three images whose classes are 0, 1 and 2: the true classes have 1/2, 1/4 and 1/4.
LOGITS = torch.tensor([[log(2), 0.0, 0.0], [log(2), 0.0, 0.0], [log(2), 0.0, 0.0]])
LABELS = torch.tensor([0, 1, 2])


def weighted(study, weights):
    return study.model_copy(update={"training": study.training.model_copy(update={"class_weights": weights})})


def label_loss(study, splits, weights):
    return TASK.label_loss(weighted(study, weights).training, splits.train)


def test_the_loss_with_the_labels_is_a_weighted_mean(study, splits):
    # 1 ln 2 + 2 ln 4 + 5 ln 4 = 15 ln 2, over weights of 8.
    assert label_loss(study, splits, WEIGHTS)(LOGITS, LABELS).item() == pytest.approx(15 * log(2) / 8, rel=1e-6)
    # All alike: (1 + 2 + 2) ln 2 over 3.
    for same in (None, (3.0, 3.0, 3.0)):
        assert label_loss(study, splits, same)(LOGITS, LABELS).item() == pytest.approx(5 * log(2) / 3, rel=1e-6)


def test_balanced_weights_are_those_of_scikit_learn():
    labels = torch.tensor([0] * 6 + [1] * 3 + [3])
    found = balanced_weights(labels, 4)
    # 10 images over 3 classes that have any: 10 / (3*6), 10 / (3*3) and 10 / (3*1).
    assert found.tolist() == pytest.approx([10 / 18, 10 / 9, 1, 10 / 3])
    theirs = compute_class_weight("balanced", classes=np.array([0, 1, 3]), y=labels.numpy())
    assert found[[0, 1, 3]].tolist() == pytest.approx(theirs.tolist())


def test_balanced_weights_come_from_the_training_part(study, splits):
    few = replace(splits.train, images=splits.train.images[:4], labels=torch.tensor([0, 0, 1, 2]))
    loss = TASK.label_loss(weighted(study, "balanced").training, few)
    # Weights 4/6, 4/3 and 4/3: (ln 2 * 2/3 + ln 4 * 4/3 + ln 4 * 4/3) / (10/3) = 9/5 ln 2.
    assert loss(LOGITS, LABELS).item() == pytest.approx(9 / 5 * log(2), rel=1e-6)


def test_the_distillation_term_is_not_weighted(study, splits):
    tau, teacher = Temperature.same(torch.tensor(2.0)), torch.flip(LOGITS, [1])
    given = label_loss(study, splits, WEIGHTS)
    for loss, factor in ((hkd, 4), (dml, 1)):
        divergence = dml(LOGITS, teacher, LABELS, tau, 1.0).item()
        found = loss(LOGITS, teacher, LABELS, tau, 0.5, label_loss=lambda: given(LOGITS, LABELS)).item()
        assert found == pytest.approx(0.5 * factor * divergence + 0.5 * 15 * log(2) / 8, rel=1e-6)


@pytest.mark.parametrize("weights", [WEIGHTS, "balanced"])
@pytest.mark.parametrize("point", [FIXED, ALONE], ids=["fixed", "alone"])
def test_a_captured_training_with_weights_is_the_eager_one_to_the_last_bit(training, point, weights):
    captures = CapturedSteps(CPU)
    training(point, captures, class_weights=(5.0, 1.0, 1.0)).train_epoch()  # another recipe has a step of its own
    eager, captured = (training(point, one, class_weights=weights) for one in (None, captures))
    metrics = [[one.train_epoch() for _ in range(3)] for one in (eager, captured)]
    assert metrics[0] == metrics[1]
    torch.testing.assert_close(eager.state_dict()["model"], captured.state_dict()["model"], rtol=0, atol=0)


def test_weights_change_the_training_and_equal_ones_do_not(training):
    plain, same, other = (training(ALONE, class_weights=one).train_epoch() for one in (None, (1.0,) * 3, WEIGHTS))
    assert same.train_loss == pytest.approx(plain.train_loss, rel=1e-6)
    assert other.train_loss != pytest.approx(plain.train_loss, rel=1e-3)


def test_a_loss_that_does_not_take_the_loss_with_the_labels_is_refused(study, splits, teacher, tmp_path):
    file = tmp_path / "losses.py"
    file.write_text(
        "def own(student_logits, teacher_logits, labels, temperature, alpha):\n    return student_logits.mean()\n"
    )
    recipe = recipe_of(weighted(study, WEIGHTS), FIXED).model_copy(update={"method": Component(name=f"{file}:own")})
    with pytest.raises(UsageError, match=r"losses.py:own: .*keyword argument label_loss; define it as fn\("):
        Distiller(recipe, 0, TASK, splits, CPU, lambda images, index: images)


def test_weights_are_part_of_identities_and_their_absence_is_not():
    plain = load_study(small_study())
    one, other = (
        load_study(small_study(), overrides=[f"{name}.class_weights=balanced"])
        for name in ("training", "teacher_training")
    )
    assert "class_weights" not in plain.training.model_dump()
    assert len({identity_of(study, FIXED, 0) for study in (plain, one, other)}) == 3
    assert teacher_key(plain, 1) == teacher_key(one, 1) != teacher_key(other, 1)
    assert load_study(one) == one


def test_a_teacher_is_trained_with_the_weights_of_its_own_training(tmp_path):
    folders = []
    for overrides in ([], ["teacher_training.class_weights=[9,1,1,1,1,1,1,1,1,1]"]):
        context = TrainingContext(
            load_study(small_study(), overrides=["teacher_training.epochs=1", *overrides]), CPU, 1
        )
        folders.append(tmp_path / str(len(overrides)))
        context.train_teacher(folders[-1])
    plain, favoured = (torch.load(folder / "teacher.pt", weights_only=True) for folder in folders)
    images = context.splits.validation
    counts = []
    for weights in (plain, favoured):
        model = context.untrained_teacher()
        model.load_state_dict(weights)
        counts.append(int((context.task.evaluate(model, images).predictions == 0).sum()))
    assert counts[1] > counts[0]


@pytest.mark.parametrize(
    ("weights", "problem"),
    [
        ("[1,2]", "has 2 weights, and digits has 10 classes; give one for each class"),
        ("balance", 'has to be "balanced" or a list'),
        ("[0,1,1,1,1,1,1,1,1,1]", "greater than 0"),
        ("[nan,1,1,1,1,1,1,1,1,1]", "greater than 0"),
        ('["1",1,1,1,1,1,1,1,1,1]', "greater than 0"),
        ("[]", "greater than 0"),
        ("3", 'has to be "balanced" or a list'),
    ],
)
@pytest.mark.parametrize("name", ["training", "teacher_training"])
def test_weights_that_fit_no_class_are_refused_with_their_key(name, weights, problem):
    with pytest.raises(SpecError) as refused:
        load_study(small_study(), overrides=[f"{name}.class_weights={weights}"])
    [fault] = refused.value.faults
    assert fault.key == f"{name}.class_weights" and problem in fault.problem


def test_weights_are_checked_against_the_classes_of_other_data_sets_too():
    study = load_study(small_study(), overrides=["training.class_weights=[1,2,1,1,1,1,1,1,1,1]"])
    info = study.data_info.model_copy(update={"classes": 3})
    with pytest.raises(SpecError, match="has 10 weights"):
        TrainingContext(study.model_copy(update={"dataset_info": info}), CPU, 1)
