"""A study of a task that a user wrote runs, and its results are read without the task."""

import json
from importlib.metadata import EntryPoint

import pytest
import torch

import kdtune
from kdtune.analysis.data_frames import load_results
from kdtune.catalog import catalog
from kdtune.catalog.metric import Metric
from kdtune.errors import ResultsError, SpecError
from kdtune.planning.study_check import check_study
from kdtune.results.trial_log import TrialLog
from kdtune.specs import load_study
from kdtune.specs.teacher_identity import teacher_key
from kdtune.storage.paths import data_dir
from tests.studies import small_study

TASK = '''
import torch

from kdtune.catalog.metric import Metric
from kdtune.models.building import build_network
from kdtune.tasks.classification.task import Classification


class FirstHalf(torch.nn.Module):
    def __init__(self, model, classes):
        super().__init__()
        self.model, self.classes = model, classes

    def forward(self, images):
        return self.model(images)[:, : self.classes]


class Twice(Classification):
    """Two predictions for each image, of which the first counts; judged by the share of wrong ones."""

    objectives = (Metric("error", higher_is_better=False), Metric("accuracy"))

    @property
    def output_size(self):
        return 2 * self.classes

    def network(self, component, image_shape):
        return build_network(component, image_shape[0], self.output_size)

    def _loss(self, outputs, targets):
        return torch.nn.functional.cross_entropy(outputs.reshape(-1, self.classes), targets.repeat_interleave(2))

    def label_loss(self, training, train):
        return self._loss

    def soft_pairs(self, student, teacher, targets):
        from kdtune.methods.soft_pairs import SoftPairs

        known = None if teacher is None else teacher.reshape(-1, self.classes)
        return SoftPairs(student.reshape(-1, self.classes), known, targets.repeat_interleave(2))

    def predict(self, outputs):
        return outputs[:, : self.classes].argmax(dim=1)

    def evaluate(self, model, part, arithmetic=None, captured=None, keep_probabilities=False):
        first = FirstHalf(model, self.classes)
        return Classification.evaluate(self, first, part, arithmetic, keep_probabilities=keep_probabilities)

    def metrics(self, predictions, part):
        found = super().metrics(predictions, part)
        return {**found, "error": 1 - found["accuracy"]}
'''

NET = """
from torch import nn


def flat(num_classes, in_channels):
    return nn.Sequential(nn.Flatten(), nn.Linear(64 * in_channels, num_classes))
"""


@pytest.fixture
def place(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("KDTUNE_CACHE_DIR", str(tmp_path / "cache"))
    (tmp_path / "my_tasks.py").write_text(TASK)
    (tmp_path / "nets.py").write_text(NET)
    return tmp_path


def test_a_task_is_named_by_any_form_of_reference(place, monkeypatch):
    point = EntryPoint("twice", "my_tasks:Twice", "kdtune.tasks")
    monkeypatch.setattr(catalog, "entry_points", lambda group: [point] if group == point.group else [])
    monkeypatch.syspath_prepend(place)
    for reference in ("./my_tasks.py:Twice", "my_tasks:Twice", "twice", {"ref": "./my_tasks.py:Twice"}):
        study = load_study(small_study(task=reference))
        assert (study.objective, study.objective_info) == ("error", Metric("error", higher_is_better=False))
        assert teacher_key(study, 1) != teacher_key(load_study(small_study()), 1)
        frozen = study.model_dump(mode="json", exclude_none=True)
        assert load_study(frozen, has_run=True) == study
    assert load_study(small_study(task="twice", objective="accuracy")).objective == "accuracy"
    built_in = load_study(small_study()).model_dump(mode="json")
    assert built_in["task"] == "classification" and "objective_info" not in built_in


@pytest.mark.parametrize(
    ("task", "changes", "problem"),
    [
        ("./my_tasks.py:Thrice", {}, "my_tasks.py has no 'Thrice'; it defines .*Twice"),
        ("./my_tasks.py:FirstHalf", {}, "has to be a class with the members of kdtune.tasks.task.Task"),
        ("./my_tasks.py:Twice", {"objective": "eror"}, "'eror' cannot decide a study; did you mean 'error'?"),
        ("./absent.py:Twice", {}, "absent.py cannot be read"),
    ],
)
def test_a_task_that_cannot_be_used_is_refused(place, task, changes, problem):
    with pytest.raises(SpecError, match=problem):
        load_study(small_study(task=task, **changes))


def test_a_study_of_an_own_task_runs_and_its_results_are_read_without_it(place):
    table = small_study(
        task="./my_tasks.py:Twice",
        student="./nets.py:flat",
        repeats=1,
        strategies={"grid": {}},
        numerics={"compile": "off"},
    )
    checked = check_study(table, [], data_dir(), None, torch.device("cpu"), 1)
    assert checked.faults == [] and checked.networks["student"].parameters == 65 * 20
    found = kdtune.run_study(table, inline=True)
    assert found.exit_code == 0, found.errors
    (result,) = found.results
    (repeat,) = result["repeats"]
    errors = [trial.val_objective for trial in TrialLog.read(found.folder / "grid" / "trials.jsonl").trials.values()]
    assert result["objective"] == "error"
    assert repeat["val_objective"] == min(errors)  # lower is better
    assert repeat["test"]["error"] == pytest.approx(1 - repeat["test"]["accuracy"])

    (place / "my_tasks.py").write_text("raise RuntimeError('imported while results are read')\n")
    again = kdtune.compare("results").results
    assert json.loads(json.dumps(again)) == json.loads(json.dumps(found.results))
    assert load_results("results").trials["val_objective"].min() == min(errors)
    with pytest.raises(ResultsError, match=r"task: my_tasks.py:Twice has been edited since the study began"):
        kdtune.resume_study(found.folder)
