import time
from types import SimpleNamespace

import pytest
import torch

from kdtune.artifacts.training_context import TrainingContext
from kdtune.forecast import step_timing, stopwatch
from kdtune.forecast.conversion_timing import convert_untrained
from kdtune.forecast.step_timing import time_work
from kdtune.forecast.stopwatch import Lap, Stopwatch
from kdtune.specs import load_study
from kdtune.training.distiller import WARM_UP_STEPS, Distiller
from tests.energy.simulated import two_cores
from tests.forecast.step_clock import StepClock
from tests.recipes import recipe_of
from tests.studies import small_study

ALL = ("distilling", "labels", "evaluation", "teacher", "teacher_evaluation")


@pytest.fixture(scope="module")
def context():
    return TrainingContext(load_study(small_study()), torch.device("cpu"), threads=1)


def timed(context, kinds=ALL, setup=None):
    return time_work(context, kinds, Stopwatch(two_cores()), [], setup)


def test_every_kind_of_work_takes_time_and_whole_batches_are_timed(context, monkeypatch):
    StepClock(monkeypatch)
    timings = timed(context)
    assert list(timings.per_image) == list(ALL)
    for usage in timings.per_image.values():
        assert usage.cpu_s > 0 and usage.wall_s > 0
        assert usage.active_uj > 0
    for kind, images in timings.batches.items():
        assert timings.per_image[kind].wall_s == pytest.approx(0.01 / images)
    assert timings.batches["distilling"] == 100
    assert timings.batches["evaluation"] == 400
    assert timings.idle_uw == 0.0 and timings.setup is None


def test_only_requested_work_is_timed_and_for_a_short_time(context, monkeypatch):
    clock = StepClock(monkeypatch)
    assert list(timed(context, ["labels"]).per_image) == ["labels"]
    assert clock.now_s() < 0.5


def test_a_disturbed_part_of_the_measurement_does_not_count(context, monkeypatch):
    """Even if steps are so slow, or the disturbance so long, that the fewest parts are timed."""
    clock = StepClock(monkeypatch)
    monkeypatch.setattr(step_timing, "SLICE_S", 0.01)
    plain = timed(context, ["labels"])
    pause_at = 2 * clock.units - 1  # near the end of the second measurement, which has as many units
    monkeypatch.setattr(step_timing.time, "perf_counter", lambda: clock.now_s() + 3 * (clock.units >= pause_at))
    again = timed(context, ["labels"])
    assert clock.units >= pause_at
    assert again.per_image["labels"].wall_s == pytest.approx(plain.per_image["labels"].wall_s)


def test_timing_needs_no_trained_teacher(context, cache_folder):
    before = sorted(cache_folder.rglob("*"))
    timed(context, ["distilling"])
    assert sorted(cache_folder.rglob("*")) == before
    assert "teacher" not in vars(context)


def test_slow_work_is_timed_with_fewer_images(context, monkeypatch):
    step = Distiller._step

    def slow(self, images, *others):
        time.sleep(0.01 * len(images))
        return step(self, images, *others)

    monkeypatch.setattr(Distiller, "_step", slow)
    monkeypatch.setattr(step_timing, "LIMIT_S", 0.2)
    timings = timed(context, ["distilling"])
    assert 2 <= timings.batches["distilling"] <= 8
    assert timings.per_image["distilling"].wall_s >= 0.01  # there is no upper bound on a busy machine


@pytest.mark.parametrize(("image_s", "sizes"), [(0.001, [2, 166]), (1e-5, [2, 490, 500]), (0.2, [2])])
def test_whole_batches_are_timed_after_few_others_if_two_steps_take_half_a_second(image_s, sizes, monkeypatch):
    """A step also takes a millisecond, however many images it has."""
    now_s, taken = 0.0, []

    def units(size):
        nonlocal now_s
        while True:
            now_s += 0.001 + image_s * size
            taken.append(size)
            yield size

    clock = SimpleNamespace(perf_counter=lambda: now_s, process_time=lambda: now_s)
    for module in (step_timing, stopwatch):
        monkeypatch.setattr(module, "time", clock)
    timer = step_timing._Timer(torch.device("cpu"), Stopwatch(two_cores()), [])
    usage, size = timer.per_image(units, 500)
    assert list(dict.fromkeys(taken)) == sizes and size == sizes[-1]
    assert usage.wall_s == pytest.approx(image_s + 0.001 / size)


def test_on_a_gpu_steps_are_timed_once_their_kernels_are_recorded(monkeypatch):
    taken, when_waited = [], []
    monkeypatch.setattr(torch.cuda, "synchronize", lambda device: when_waited.append(len(taken)))

    def units(size):
        while True:
            time.sleep(0.01)
            taken.append(size)
            yield size

    timer = step_timing._Timer(torch.device("cuda", 0), Stopwatch(two_cores()), [])
    assert timer.per_image(units, 8)[1] == 8
    assert when_waited[:2] == [WARM_UP_STEPS, WARM_UP_STEPS + 1]


def test_the_setup_of_a_worker_is_returned_as_it_was_measured(context):
    timings = timed(context, [], Lap(wall_s=3.0, cpu_s=2.0))
    assert (timings.setup.wall_s, timings.setup.cpu_s, timings.setup.active_uj) == (3.0, 2.0, 8e6)


def test_a_training_afterwards_is_the_same_bit_for_bit(context):
    def trained():
        distiller = context.distiller(recipe_of(context.study, {"loss": "ce"}), 0)
        return [distiller.train_epoch() for _ in range(2)]

    before = trained()
    timed(context)
    assert trained() == before


def test_a_conversion_is_timed_once_and_as_a_whole(context, monkeypatch):
    pytest.importorskip("torchao")
    converted = []
    monkeypatch.setattr(step_timing, "convert_untrained", lambda context: converted.append(convert_untrained(context)))
    timings = timed(context, ("conversion",))
    usage = timings.per_image["conversion"]
    assert len(converted) == timings.batches["conversion"] == 1
    assert usage.wall_s > 0 and usage.cpu_s > 0 and usage.active_uj > 0
