import pytest
import torch

from kdtune.artifacts.training_context import TrainingContext
from kdtune.forecast import equal_energy
from kdtune.forecast.equal_energy import timed_energy_multiple
from kdtune.forecast.stopwatch import Stopwatch
from kdtune.forecast.strategy_estimate import Conditions
from kdtune.specs import load_study
from kdtune.training.teacher_logits import LiveTeacher
from tests.energy.simulated import W, two_cores
from tests.forecast.step_clock import StepClock
from tests.studies import small_study

#: Work of one epoch in steps of the student: 400 images in batches of 32, and an evaluation.
EPOCH = 400 / 32 + 1


@pytest.mark.parametrize(
    ("mode", "multiple"),
    [
        # The teacher takes as long as ten steps: in each step if live; if replayed, once for two trainings of 3 epochs.
        ("live", (11 * 400 / 32 + 1) / EPOCH),
        ("replay", (3 * EPOCH + 10 / 2) / (3 * EPOCH)),
    ],
)
def test_a_slow_teacher_counts_in_every_step_if_live_and_once_if_replayed(monkeypatch, mode, multiple):
    original, clock = LiveTeacher.__call__, StepClock(monkeypatch)

    def slow(self, images, index):
        clock.units += 10
        return original(self, images, index)

    monkeypatch.setattr(LiveTeacher, "__call__", slow)
    monkeypatch.setattr(equal_energy, "ROUNDS_S", 0.0)
    training = {**small_study()["training"], "batch_size": 32}
    study = load_study(small_study(teacher_logits=mode, training=training))
    context = TrainingContext(study, torch.device("cpu"), threads=1)
    conditions = Conditions(slots=2, cpus=1.0, cores=2, ram_uw=20 * W)
    found = timed_energy_multiple(context, context.workload(), Stopwatch(two_cores()), [], conditions)
    assert found == pytest.approx(multiple)
    assert "teacher" not in vars(context)
