from types import SimpleNamespace

import pytest
import torch

from kdtune.analysis import inference_passes
from kdtune.analysis.inference_passes import (
    metrics_of,
    parameters,
    predict,
    ready_student,
    take_turns,
)
from kdtune.artifacts.training_context import TrainingContext
from kdtune.errors import ResultsError
from kdtune.training.numerics import Arithmetic
from tests.trainings import TASK

CPU = torch.device("cpu")
ARITHMETIC = Arithmetic(CPU)


class Meter:
    """Records the opened and closed windows."""

    id = "m"

    def __init__(self):
        self.noted = []

    def open(self, window):
        self.noted.append(window)

    def close(self, window, reason):
        assert window == self.noted[-1].id and reason == "done"


class Slow(torch.nn.Module):
    """A network that takes a given time for each batch, on a clock that otherwise stands still."""

    now_s = 0.0

    def __init__(self, seconds):
        super().__init__()
        self.seconds = seconds

    def forward(self, images):
        Slow.now_s += self.seconds
        return torch.zeros(len(images), 3)


@pytest.fixture
def clock(monkeypatch):
    monkeypatch.setattr(inference_passes, "time", SimpleNamespace(perf_counter=lambda: Slow.now_s))


def turns_of(images, seconds, **batch_s):
    """Seconds are multiples of a power of two, so that their sums are exact."""
    meter = Meter()
    networks = {name: Slow(one) for name, one in batch_s.items()}
    return meter, take_turns(TASK, networks, images, ARITHMETIC, len(images), seconds, meter, 1.0, {"GPU-a": 1.0})


@pytest.mark.parametrize("batch_size", [1, 7, 1000])
def test_a_pass_classifies_every_image_as_evaluation_does(teacher, splits, batch_size):
    found = TASK.evaluate(teacher, splits.validation)
    predicted = predict(TASK, teacher, splits.validation, ARITHMETIC, batch_size)
    assert predicted.equal(found.predictions)
    measured = metrics_of(TASK, teacher, splits.validation, ARITHMETIC, batch_size)
    assert measured == pytest.approx(found.metrics)


def test_networks_take_turns_in_separate_windows(splits, clock):
    meter, turns = turns_of(splits.test, 0.625, teacher=1 / 32, student=1 / 128)
    assert {name: len(taken) for name, taken in turns.items()} == {"teacher": 5, "student": 5}
    names = [window.id for window in meter.noted]
    assert names[:4] == ["teacher-m/1", "student-m/1", "teacher-m/2", "student-m/2"]
    assert len(set(names)) == len(names)
    assert all(window.bucket == "evaluation" and window.gpus == {"GPU-a": 1.0} for window in meter.noted)
    for name, passes in (("teacher", 4), ("student", 16)):
        assert [(turn.passes, turn.wall_s) for turn in turns[name]] == [(passes, 0.125)] * 5


def test_a_network_that_has_run_long_enough_waits_for_the_other(splits, clock):
    _, turns = turns_of(splits.test, 0.625, teacher=1, student=1 / 128)
    assert [turn.passes for turn in turns["teacher"]] == [1]  # one pass is longer than all that was asked for
    assert [turn.passes for turn in turns["student"]] == [16] * 5


def test_a_student_is_read_frozen_and_another_file_is_refused(study, tmp_path):
    context = TrainingContext(study, CPU, 1)
    file = tmp_path / "student.pt"
    torch.save(context.untrained_student().state_dict(), file)
    student = ready_student(context, file)
    assert not student.training and not any(one.requires_grad for one in student.parameters())
    torch.save(context.untrained_teacher().state_dict(), file)
    with pytest.raises(ResultsError, match=r"student\.pt: cannot be read as weights of convnet_2_4_4"):
        ready_student(context, file)
    file.write_bytes(b"no weights")
    with pytest.raises(ResultsError) as refused:
        ready_student(context, file)
    assert len(str(refused.value).splitlines()) == 1


def test_parameters_are_counted():
    assert parameters(torch.nn.Linear(4, 3)) == 15
