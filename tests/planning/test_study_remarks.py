"""Class weights that would be without effect are remarked on before energy is spent."""

import io

import pytest
import torch
from rich.console import Console

import kdtune
from kdtune.planning.study_check import check_study
from kdtune.planning.study_remarks import study_remarks
from kdtune.report.check_table import check_table
from kdtune.specs import load_study
from kdtune.storage.paths import data_dir
from tests.studies import small_study

WEIGHTED = {**small_study()["training"], "epochs": 1, "class_weights": "balanced"}


def remarks_of(**changes):
    study = load_study(small_study(training=WEIGHTED, **changes))
    return study_remarks(study, study.strategies)


def test_class_weights_without_effect_are_named_with_the_strategies():
    (told,) = remarks_of(alpha=1)
    assert told == (
        "training.class_weights has no effect in grid, stochastic: with alpha = 1, the loss hkd does not use the "
        "labels; set alpha below 1, or remove class_weights"
    )
    (told,) = remarks_of(loss="dml", strategies={"grid": {}})  # its default
    assert told.startswith("training.class_weights has no effect: with alpha = 1, the loss dml")
    assert remarks_of(loss={"ref": "hkd", "alpha": 1}, alpha=0.5) != []


@pytest.mark.parametrize(
    "changes",
    [
        {"alpha": 0.9},
        {"loss": {"ref": "hkd", "alpha": 0.5}, "alpha": 1},
        {"alpha": 1, "strategies": {"none": {}}},
        {"alpha": 1, "search_space": {"tau": {"values": [2]}, "alpha": {"values": [0.5, 1]}}},
        {"alpha": 1, "loss": "tests.planning.test_study_remarks:their_own"},
        {"alpha": 1, "loss": "standardized"},
        {"alpha": 1, "strategies": {"wttm": {}, "mine": {"strategy": "tuned:ttm"}, "annealing": {}}},
        {"alpha": 1, "strategies": {"again": {"strategy": "best-of", "of": "dtkd", "trials": 2}}},
    ],
    ids=[
        "alpha below 1",
        "option of the loss",
        "without teacher",
        "alpha is searched",
        "a loss of others",
        "a method with a weight of its own",
        "strategies that are methods",
        "restarts of a method",
    ],
)
def test_class_weights_that_have_an_effect_are_not(changes):
    assert remarks_of(**changes) == []


def test_each_strategy_is_judged_by_the_method_that_it_trains():
    methods = {"optuna": {}, "ttm": {}, "ea": {}, "wttm": {"label_weight": 0}}
    assert remarks_of(alpha=1, strategies=methods) == [
        "training.class_weights has no effect in optuna: with alpha = 1, the loss hkd does not use the labels; "
        "set alpha below 1, or remove class_weights",
        "training.class_weights has no effect in ea: with alpha = 1, the loss ea does not use the labels; "
        "set alpha below 1, or remove class_weights",
        "training.class_weights has no effect in wttm: with label_weight = 0, the loss wttm does not use the labels; "
        "set label_weight above 0, or remove class_weights",
    ]
    assert len(remarks_of(alpha=0.5, strategies=methods)) == 1


def their_own(student, teacher, labels, temperature, alpha, label_loss=None):
    return label_loss()


def test_a_check_shows_the_remark_once():
    found = check_study(small_study(training=WEIGHTED, alpha=1), [], data_dir(), None, torch.device("cpu"), 1)
    out = io.StringIO()
    Console(file=out, width=300).print(check_table(found))
    assert out.getvalue().count("class_weights has no effect") == 1 and found.faults == []


def test_a_study_says_it_before_its_teacher_is_trained(tmp_path):
    told = []

    class Heard(kdtune.Watcher):
        def message(self, text):
            told.append(text)

        def teacher_epoch(self, epochs, metrics):
            told.append("teacher")

    study = small_study(training=WEIGHTED, teacher_training=WEIGHTED, alpha=1)
    found = kdtune.run_study(study, "fixed", repeats=1, out=tmp_path, inline=True, watcher=Heard())
    assert found.exit_code == 0
    said = [text for text in told if "class_weights has no effect" in text]
    assert len(said) == 1 and ("teacher" not in told or told.index(said[0]) < told.index("teacher"))
