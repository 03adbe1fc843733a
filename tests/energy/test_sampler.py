import threading
import time

from kdtune.energy import sampler
from kdtune.energy.sampler import Sampler


class Meter:
    """A meter that counts its samples and fails at the first one."""

    def __init__(self):
        self.samples = 0
        self.thrice = threading.Event()

    def sample(self):
        self.samples += 1
        if self.samples == 1:
            raise OSError("no room")
        if self.samples == 3:
            self.thrice.set()


def test_a_meter_is_sampled_repeatedly_until_the_sampler_is_stopped(monkeypatch, log_records):
    monkeypatch.setattr(sampler, "INTERVAL_S", 0.001)
    meter = Meter()
    clock = Sampler(meter)
    meter.thrice.wait()
    assert any(
        "an energy sample failed" in record.getMessage() for record in log_records
    )  # a failed sample does not end the thread
    clock.stop()
    taken = meter.samples
    time.sleep(0.02)
    assert meter.samples == taken
