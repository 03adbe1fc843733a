"""What metering costs: CPU time of a sample, and of a window's opening and closing, with the ledger's fsync."""

import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

from benchmarks.record import keep
from kdtune.energy.ledger import Window
from kdtune.energy.meter import INTERVAL_S, Meter
from kdtune.energy.sensors import NodeSensors

SAMPLES = 200


def _cpu_ms(action: Callable[[int], None]) -> list[float]:
    times = []
    for number in range(SAMPLES):
        before = time.process_time()
        action(number)
        times.append((time.process_time() - before) * 1e3)
    return times


def run() -> None:
    """Measure on a meter of this node with two windows open."""
    sensors = NodeSensors()
    with tempfile.TemporaryDirectory() as folder:
        meter = Meter(sensors, sensors.hardware())
        meter.begin(Path(folder) / "node.jsonl")
        for name in ("a", "b"):
            meter.open(Window(name, "trials", os.getpid(), 1.0))
        sample = _cpu_ms(lambda _: meter.sample())

        def open_and_close(number: int) -> None:
            meter.open(Window(f"w{number}", "trials", os.getpid(), 1.0))
            meter.close(f"w{number}", "done")

        window = _cpu_ms(open_and_close)
    keep(
        "meter",
        "python -m benchmarks meter",
        {
            "samples": SAMPLES,
            "cpu_ms_per_sample_median": median(sample),
            "cpu_ms_per_window_median": median(window),
            "share_of_one_core_while_sampling": median(sample) / 1e3 / INTERVAL_S,
        },
    )
