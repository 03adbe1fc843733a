import time

import pytest
import torch

from kdtune.artifacts.training_context import TrainingContext
from kdtune.forecast import equal_energy, step_timing
from kdtune.forecast.equal_energy import timed_energy_multiple
from kdtune.forecast.stopwatch import Stopwatch
from kdtune.forecast.strategy_estimate import Conditions
from kdtune.specs import load_study
from kdtune.training.teacher_logits import LiveTeacher
from tests.energy.simulated import W, two_cores
from tests.studies import small_study


@pytest.mark.parametrize(("mode", "low", "high"), [("live", 4.0, 200.0), ("replay", 0.5, 4.0)])
def test_a_slow_teacher_counts_in_every_step_if_live_and_once_if_replayed(monkeypatch, mode, low, high):
    original = LiveTeacher.__call__

    def slow(self, images, index):
        until_s = time.thread_time() + 0.02  # about ten steps of the student
        while time.thread_time() < until_s:
            pass
        return original(self, images, index)

    monkeypatch.setattr(LiveTeacher, "__call__", slow)
    monkeypatch.setattr(equal_energy, "ROUNDS_S", 0.5)
    monkeypatch.setattr(step_timing, "LIMIT_S", 60.0)  # whole batches are timed even on a busy machine
    training = {**small_study()["training"], "batch_size": 32}
    study = load_study(small_study(teacher_logits=mode, training=training))
    context = TrainingContext(study, torch.device("cpu"), threads=1)
    conditions = Conditions(slots=2, cpus=1.0, cores=2, ram_uw=20 * W)
    # The slow teacher is used in each of 13 steps per epoch if live; if replayed, once for two trainings of 3 epochs.
    assert low < timed_energy_multiple(context, context.workload(), Stopwatch(two_cores()), [], conditions) < high
    assert "teacher" not in vars(context)
