import os
import time
from types import SimpleNamespace

import psutil
import pytest

from kdtune.energy.sensors import busy_time
from kdtune.energy.sensors.busy_time import BusyTime, busy_us

S = 1_000_000


def test_busy_time_counts_only_work():
    start_ns, before_us = busy_us()
    end = time.process_time() + 0.3
    while time.process_time() < end:
        pass
    now_ns, after_us = busy_us()
    assert 0.15 <= (after_us - before_us) / S <= (now_ns - start_ns) / 1e9 * (os.cpu_count() or 1) + 0.2


def test_short_bursts_count_as_busy_time():
    """Linux samples the busy time of a core, which misses most work that is shorter than a tick."""
    if not sum(core.idle for core in psutil.cpu_times(percpu=True)):
        pytest.skip("this kernel tells no idle time")
    before_us, began_s = busy_us()[1], time.process_time()
    for _ in range(600):
        end = time.process_time() + 0.0005
        while time.process_time() < end:
            pass
        time.sleep(0.0005)
    spent_s = time.process_time() - began_s
    assert (busy_us()[1] - before_us) / S >= 0.9 * spent_s - 0.05


class Kernel:
    """The values that Linux would report."""

    def __init__(self, monkeypatch, cores):
        self.t_s, self.cores, self.sampled = 1000.0, cores, {}
        monkeypatch.setattr(busy_time.time, "clock_gettime_ns", lambda clock: round(self.t_s * 1e9))
        monkeypatch.setattr(psutil, "cpu_times", self.times)

    def times(self, percpu):
        assert percpu
        nothing = dict.fromkeys(("user", "nice", "system", "irq", "softirq", "steal", "guest", "guest_nice"), 0.0)
        sampled = {**nothing, **self.sampled}
        return [SimpleNamespace(idle=idle, iowait=iowait, **sampled) for idle, iowait in self.cores]


def test_idle_and_waiting_time_is_not_busy_and_the_rest_is(monkeypatch):
    Kernel(monkeypatch, [(900.0, 30.0), (950.0, 0.0)])
    assert busy_us() == (10**12, 120 * S)


def test_the_sampled_time_is_used_if_idle_time_is_missing_or_unusable(monkeypatch):
    kernel = Kernel(monkeypatch, [(0.0, 0.0)])
    kernel.sampled = {"user": 1, "nice": 20, "system": 300, "irq": 4000, "softirq": 50_000, "steal": 9, "guest": 9}
    assert busy_us()[1] == 54_321 * S
    kernel.cores = [(10**6, 0.0)]
    assert busy_us()[1] == 54_321 * S


def test_rounding_errors_do_not_decrease_the_counter(monkeypatch):
    kernel, busy = Kernel(monkeypatch, [(500.0, 0.0)]), BusyTime()
    read = []
    for idle_s in (500.0, 500.02, 499.99):
        kernel.cores = [(idle_s, 0.0)]
        read.append(busy.read()[1])
    assert read == [500 * S, 500 * S, 500 * S + 10_000]


def test_work_after_a_decrease_counts_immediately(monkeypatch):
    """The count decreases when a core goes offline, but later work of other cores is not lost."""
    kernel, busy = Kernel(monkeypatch, [(500.0, 0.0), (970.0, 0.0)]), BusyTime()
    assert busy.read()[1] == 530 * S
    kernel.cores, kernel.t_s = kernel.cores[:1], 1010.0
    assert busy.read()[1] == 530 * S  # work during the decrease cannot be distinguished from it
    kernel.t_s = 1025.0
    assert busy.read()[1] == 545 * S
    other = BusyTime()  # as in a meter that is started again
    other.stepped_us = busy.stepped_us
    assert other.read()[1] == 545 * S


def test_a_reset_count_is_not_corrected(monkeypatch):
    kernel, busy = Kernel(monkeypatch, [(500.0, 0.0)]), BusyTime()
    assert busy.read()[1] == 500 * S
    kernel.cores, kernel.t_s = [(1.0, 0.0)], 3.0
    assert busy.read()[1] == 2 * S
    kernel.t_s = 4.0
    assert busy.read()[1] == 3 * S


def test_a_delayed_reading_is_repeated(monkeypatch):
    kernel = Kernel(monkeypatch, [(500.0, 0.0)])
    looks = iter([1000.0, 1077.0, 1077.0, 1077.001])
    monkeypatch.setattr(busy_time.time, "clock_gettime_ns", lambda clock: round(next(looks) * 1e9))
    assert kernel.t_s and busy_us() == (1_077_000_000_000, 577 * S)
