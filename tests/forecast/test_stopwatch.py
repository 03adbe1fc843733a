import time

import pytest

from kdtune.forecast import stopwatch
from kdtune.forecast.stopwatch import Lap, Stopwatch
from tests.energy.machine import FakeGpu
from tests.energy.simulated import J, Node, W, two_cores

ZONE = {"package": 1_000 * J}


class Sensors:
    """Sensors of a simulated node."""

    def __init__(self, node: Node) -> None:
        self.node = node

    def read(self):
        return self.node.counters()


class Clock:
    """A replacement of the module ``time`` whose clocks are set by tests.

    ``sleep`` calls ``at_rest`` with the seconds, in which tests advance the counters of the node.
    """

    def __init__(self) -> None:
        self.wall_s, self.cpu_s = 100.0, 7.0
        self.perf_counter = lambda: self.wall_s
        self.process_time = lambda: self.cpu_s
        self.at_rest = lambda seconds: None

    def sleep(self, seconds):
        self.wall_s += seconds
        self.at_rest(seconds)


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(stopwatch, "time", clock)
    return clock


def test_without_counters_energy_is_modelled_from_cpu_time(clock):
    watch = Stopwatch(two_cores())
    assert not watch.has_counters
    assert watch.measure_idle_uw(5.0) == 0.0
    assert clock.wall_s == 100.0  # without counters, it does not sleep
    clock.wall_s, clock.cpu_s = 103.0, 9.0
    usage = watch.usage(watch.lap())
    assert (usage.wall_s, usage.cpu_s, usage.active_uj) == (3.0, 2.0, 2 * 4 * W)


def test_a_lap_starts_where_the_last_one_ended(clock):
    watch = Stopwatch(two_cores())
    clock.wall_s = 101.0
    assert watch.lap() == Lap(1.0, 0.0)
    clock.wall_s, clock.cpu_s = 104.0, 8.0
    assert watch.lap() == Lap(3.0, 1.0)


def test_counted_energy_excludes_idle_energy(clock):
    node = Node(two_cores(rapl=ZONE, gpus=("GPU-a", "GPU-b")))
    watch = Stopwatch(node.hardware, Sensors(node))

    clock.at_rest = lambda seconds: node.work(
        seconds, gpu_j={"GPU-a": 50 * seconds, "GPU-b": 60 * seconds}, rapl_j={"package": 30 * seconds}
    )
    assert watch.measure_idle_uw(2.0) == pytest.approx((50 + 60 + 30) * W)
    assert watch.spare_gpu_uw(["GPU-a"]) == pytest.approx(60 * W)
    assert watch.spare_gpu_uw([]) == pytest.approx((50 + 60) / 2 * W)
    assert watch.spare_gpu_uw(["GPU-a", "GPU-b"]) == 0.0
    clock.wall_s, clock.cpu_s = clock.wall_s + 2, 9.0
    node.work(2, gpu_j={"GPU-a": 700, "GPU-b": 120}, rapl_j={"package": 100})
    lap = watch.lap()
    assert watch.usage(lap).active_uj == pytest.approx((100 - 60) * J)
    assert watch.usage(lap, ["GPU-a"]).active_uj == pytest.approx((100 - 60 + 700 - 100) * J)


def test_energy_is_unknown_if_a_counter_does_not_move(clock):
    node = Node(two_cores(gpus=("GPU-a",)))
    watch = Stopwatch(node.hardware, Sensors(node))
    assert watch.measure_idle_uw(1.0) is None
    clock.wall_s, clock.cpu_s = 102.0, 8.0
    lap = watch.lap()
    assert watch.usage(lap, ["GPU-a"]).active_uj is None
    assert watch.usage(lap, ["MIG-b"]).active_uj is None
    assert watch.usage(lap).active_uj == 4 * W


def test_idle_power_is_that_of_all_gpus_even_in_a_worker_that_sees_one(clock, bare_machine, gpus, monkeypatch):
    node = gpus(FakeGpu("GPU-a", 1_000), FakeGpu("GPU-b", 2_000))

    def draw(seconds):
        for gpu, watts in zip(node, (50, 60), strict=True):
            gpu.energy_mj += round(1000 * watts * seconds)

    clock.at_rest = draw
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1")  # as Ray sets it for a trial
    watch = Stopwatch(two_cores(gpus=("GPU-a", "GPU-b")))
    assert watch.measure_idle_uw(2.0) == pytest.approx((50 + 60) * W)
    clock.wall_s, clock.cpu_s = clock.wall_s + 2, 9.0
    draw(10.0)
    assert watch.usage(watch.lap(), ["GPU-b"]).active_uj == pytest.approx((2 * 4 + 600 - 2 * 60) * J)


def test_on_this_machine_work_takes_time():
    watch = Stopwatch(two_cores())
    began = time.perf_counter()
    while time.perf_counter() - began < 0.05:
        pass
    lap = watch.lap()
    assert lap.wall_s >= 0.05 and 0 < lap.cpu_s <= 2 * lap.wall_s
