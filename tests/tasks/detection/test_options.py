"""Options of detection: what a study can set, what is refused, and what the teacher depends on."""

import pytest
import torch

from kdtune.errors import SpecError
from kdtune.specs import load_study
from kdtune.specs.teacher_identity import teacher_key
from kdtune.tasks.detection.options import Options
from kdtune.tasks.loading import task_of
from tests.tasks.detection.test_task import ARRAYS, CPU, STUDY, TASK, study_of


def task(**options):
    return {"task": {"ref": "detection", **options}}


def test_the_weights_of_the_loss_are_options_of_the_task():
    made = task_of(study_of(**task(bounded_weight=0.5, margin=0.1, background_weight=2, hint_weight=1)))
    assert made.options == Options(bounded_weight=0.5, margin=0.1, background_weight=2.0, hint_weight=1.0)
    paper = task_of(study_of(alpha=0.5, **task(protocol="paper"))).options
    assert (paper.bounded_weight, paper.margin, paper.background_weight, paper.hint_weight) == (0.5, 0, 1.5, 0.5)
    assert task_of(STUDY).options == Options()


def test_an_option_is_set_on_the_command_line():
    study = load_study("digits-detection", overrides=["task.protocol=paper", "alpha=0.5"])
    assert study.task.options == {"protocol": "paper"}
    with pytest.raises(SpecError, match="--set: task.hint: unknown key; .*'hint_weight'"):
        load_study("digits-detection", overrides=["task.hint=1"])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (task(bounded_wieght=1), "task.bounded_wieght: unknown key; did you mean 'bounded_weight'"),
        (task(hint_weight=-1), "task.hint_weight: .*greater than or equal to 0, got -1"),
        (task(margin=0.1), "task: margin has no effect without bounded_weight"),
        ({"alpha": 0.5, **task(protocol="paper", hint_weight=1)}, "sets all weights; remove hint_weight"),
        (task(protocol="paper"), 'alpha: is 0.95, but protocol = "paper" .* write alpha = 0.5'),
        (task(protocol="mine"), "task.protocol: .*'paper'"),
        (
            {
                "task": {"ref": "classification", "hint_weight": 1},
                "dataset": "digits",
                "teacher": "convnet_32",
                "student": "convnet_2_4_4",
            },
            "task.hint_weight: unknown key; no key is known here",
        ),
    ],
    ids=["unknown", "negative", "margin", "weight", "alpha", "protocol", "classification"],
)
def test_other_options_are_refused_when_the_study_is_loaded(changes, message):
    with pytest.raises(SpecError, match=message) as caught:
        study_of(**changes)
    assert len(caught.value.faults) == 1


def test_options_that_need_a_teacher_do_not_change_the_teacher():
    def key(**options):
        return teacher_key(study_of(**task(**options)), 1)

    assert key() == key(bounded_weight=0.5, hint_weight=1) == teacher_key(STUDY, 1) != key(box_weight=2)


def test_the_hint_pulls_all_logits_and_needs_a_teacher():
    splits = TASK.splits(ARRAYS, STUDY, CPU)
    _, targets = splits.train.batch(torch.arange(4), None)
    student, teacher = torch.randn(2, 4, TASK.output_size)
    made = type(TASK)(TASK.classes, TASK.shape, TASK.anchors, options=Options(hint_weight=0.5))
    plain, hinted = (one.soft_pairs(student, teacher, targets).further_loss for one in (TASK, made))
    logits = slice(0, len(TASK.anchors) * (TASK.classes + 1))
    pull = (student[:, logits] - teacher[:, logits]).square().mean()
    torch.testing.assert_close(hinted, plain + 0.5 * pull)
    alone = [one.soft_pairs(student, None, targets).further_loss for one in (TASK, made)]
    assert torch.equal(*alone)
