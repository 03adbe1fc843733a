import threading
import time

from kdtune.energy import sampler
from kdtune.energy.sampler import Sampler


class Meter:
    """A meter that counts its samples and fails at the first two and at the fourth."""

    def __init__(self):
        self.samples = 0
        self.five_times = threading.Event()

    def sample(self):
        self.samples += 1
        if self.samples in (1, 2, 4):
            raise OSError(f"no room for {self.samples}")
        if self.samples == 5:
            self.five_times.set()


def test_a_meter_is_sampled_repeatedly_until_the_sampler_is_stopped(monkeypatch, log_records):
    monkeypatch.setattr(sampler, "INTERVAL_S", 0.001)
    meter = Meter()
    clock = Sampler(meter)
    meter.five_times.wait()  # a failed sample does not end the thread
    # Failures in a row are one message, without a traceback, which would cover the study's own message.
    told = [record for record in log_records if record.levelname == "WARNING"]
    assert [record.getMessage() for record in told] == [
        "an energy sample failed (OSError: no room for 1)",
        "an energy sample failed (OSError: no room for 4)",
    ]
    assert not any(record.exc_info for record in told)
    clock.stop()
    taken = meter.samples
    time.sleep(0.02)
    assert meter.samples == taken
