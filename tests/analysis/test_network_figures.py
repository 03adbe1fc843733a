"""Figures for which kept models run on the test images again."""

import re
import shutil

import pytest
import torch

import kdtune
from kdtune.analysis.network_figures import network_figures
from kdtune.results.folder import StudyFolder
from tests.analysis.conftest import OWN
from tests.studies import small_study

_OWN_TASK = """
from kdtune.tasks.classification.task import Classification


class Task(Classification):
    def figures(self, networks, part, class_names):
        {body}
"""


@pytest.fixture
def students(made, tmp_path):
    study = StudyFolder(shutil.copytree(made, tmp_path / "small"))
    return {name: study.strategy(name) for name in ("fixed", "stochastic")}


def test_networks_of_a_study_are_shown_beside_their_teacher(students):
    threads = torch.get_num_threads()
    found = network_figures(students, "teacher (convnet_32)")
    assert found.missing == ()
    logits, cam, confusion = found.figures
    models = ["teacher (convnet_32)", "fixed", "stochastic"]
    assert list(logits.values) == list(confusion.counts) == models
    assert list(cam.images) == ["image", *models]
    assert all(len(images) == 4 and images[0].shape == (88, 88, 3) for images in cam.images.values())
    assert {sum(map(sum, counts)) for counts in confusion.counts.values()} == {997}
    assert torch.get_num_threads() == threads


def test_a_student_without_weights_and_a_teacher_elsewhere_are_named_and_the_others_shown(
    students, tmp_path, monkeypatch
):
    students["fixed"].weights(0, 0).unlink()
    monkeypatch.setenv("KDTUNE_CACHE_DIR", str(tmp_path / "elsewhere"))
    found = network_figures(students, "teacher")
    of_teacher, of_student = found.missing
    assert "not in the cache" in of_teacher and "set KDTUNE_CACHE_DIR" in of_teacher
    assert f"{students['fixed'].weights(0, 0)} is missing" in of_student and "kdtune resume" in of_student
    assert list(found.figures[0].values) == ["stochastic"]


def test_damaged_weights_are_reported_in_place_of_figures(students):
    students["fixed"].weights(0, 0).write_bytes(b"no weights")
    found = network_figures(students, "teacher")
    assert found.figures == ()
    assert "student.pt: cannot be read as weights of convnet_2_4_4" in found.missing[0]


def test_a_quantised_student_is_not_shown_as_the_float_student_beside_it(students):
    students["fixed"].int8_weights(0, 0).touch()
    found = network_figures(students, "teacher")
    assert found.missing == ("The student of fixed is not shown, since an int8 network has no gradients.",)
    assert list(found.figures[0].values) == ["teacher", "stochastic"]


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("return 1 / 0", r"ZeroDivisionError: division by zero \(.*own_task.py, line 7\)"),
        ("raise SystemExit('enough')", r"SystemExit: enough \(.*own_task.py, line 7\)"),
        ("return None", "TypeError: it returned NoneType in place of a list of figures"),
        ("return [{'name': 'x'}]", "TypeError: its list has an entry of the type dict, which is no figure"),
    ],
)
def test_a_task_whose_figures_fail_is_named_with_the_reason(students, tmp_path, body, reason):
    (tmp_path / "own_task.py").write_text(_OWN_TASK.format(body=body))
    study = kdtune.load_study(small_study(repeats=1, **OWN, task=f"{tmp_path / 'own_task.py'}:Task"))
    for folder in students.values():
        folder.write_study(study, folder.resolved())
    found = network_figures(students, "teacher")
    assert found.figures == ()
    assert re.fullmatch(
        rf"Figures of networks \(the paper's Figure 4\) are not shown: task .*:Task: figures\(\) fails: {reason}",
        found.missing[0],
    )
