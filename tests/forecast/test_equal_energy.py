import time

import pytest
import torch

from kdtune.artifacts.workbench import Workbench
from kdtune.forecast import equal_energy, step_timing
from kdtune.forecast.equal_energy import timed_energy_multiple
from kdtune.forecast.stopwatch import Stopwatch
from kdtune.forecast.strategy_estimate import Conditions
from kdtune.specs import load_study
from kdtune.training.teacher_logits import LiveTeacher
from tests.energy.simulated import W, two_cores
from tests.studies import small_study


@pytest.mark.parametrize(("mode", "low", "high"), [("live", 4.0, 200.0), ("replay", 0.5, 4.0)])
def test_a_slow_teacher_is_in_every_step_or_once_in_all_trainings(monkeypatch, mode, low, high):
    ask = LiveTeacher.__call__

    def slow(self, images, index):
        until_s = time.thread_time() + 0.02  # ten steps of the student, or so
        while time.thread_time() < until_s:
            pass
        return ask(self, images, index)

    monkeypatch.setattr(LiveTeacher, "__call__", slow)
    monkeypatch.setattr(equal_energy, "ROUNDS_S", 0.5)
    monkeypatch.setattr(step_timing, "LIMIT_S", 60.0)  # on a busy machine too it is asked about whole batches
    bench = Workbench(load_study(small_study(teacher_logits=mode)), torch.device("cpu"), threads=1)
    conditions = Conditions(slots=2, cpus=1.0, cores=2, ram_uw=20 * W)
    # 13 steps an epoch with their teacher each; or one answer of 20 ms to all images, for two times three epochs.
    assert low < timed_energy_multiple(bench, bench.workload(), Stopwatch(two_cores()), [], conditions) < high
    assert "teacher" not in vars(bench)
