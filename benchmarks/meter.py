"""Cost of metering: CPU time of a sample and of a window, and how much a meter slows down a training."""

import multiprocessing
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.record import save
from kdtune.energy.ledger import Window
from kdtune.energy.meter import INTERVAL_S, Meter
from kdtune.energy.neighbours import MeterRegistry
from kdtune.energy.sensors.node import NodeSensors
from kdtune.specs.suggestion import Suggestion
from kdtune.training.resolution import resolved_recipe

SAMPLES = 200

#: Number of pairs of trainings, one with a meter running and one without; each takes some seconds.
PAIRS = 9


def _meter(folder: Path) -> Meter:
    """Return a meter as in a study, with a registry and with saved state for a successor."""
    sensors = NodeSensors()
    registry = MeterRegistry("benchmark", folder / "shared")
    registry.register()
    meter = Meter(sensors, sensors.hardware(), registry, folder / "meter.state")
    meter.begin(folder / "node.jsonl")
    for name in ("a", "b"):
        meter.open(Window(name, "trials", os.getpid(), 1.0))
    return meter


def _cpu_ms(action: Callable[[int], None]) -> list[float]:
    times = []
    for number in range(SAMPLES):
        before = time.process_time()
        action(number)
        times.append((time.process_time() - before) * 1e3)
    return times


def _sample_for_ever(folder: str, ready: Any) -> None:
    meter = _meter(Path(folder))
    ready.set()
    while True:
        time.sleep(INTERVAL_S)
        meter.sample()


def _training_s() -> float:
    """Train the digits study's student for 60 epochs and return the seconds that it takes."""
    import torch

    from kdtune.artifacts.training_context import TrainingContext
    from kdtune.specs import load_study

    study = load_study("digits-hkd", epochs=60)
    distiller = TrainingContext(study, torch.device("cpu"), 1).distiller(
        resolved_recipe(study, Suggestion(values={"tau": 4})), 0
    )
    began = time.monotonic()
    while not distiller.done:
        distiller.train_epoch()
    return time.monotonic() - began


def _slowdown() -> float:
    """Return the time of a training with a meter divided by its time without one, as the median over all pairs."""
    context = multiprocessing.get_context("spawn")
    ratios = []
    _training_s()
    for _ in range(PAIRS):
        without_s = _training_s()
        with tempfile.TemporaryDirectory() as folder:
            ready = context.Event()
            process = context.Process(target=_sample_for_ever, args=(folder, ready), daemon=True)
            process.start()
            ready.wait()
            ratios.append(_training_s() / without_s)
            process.kill()
            process.join()
    return median(ratios)


def run() -> None:
    """Measure the cost of metering on this node and save the results."""
    with tempfile.TemporaryDirectory() as folder:
        meter = _meter(Path(folder))
        sample = _cpu_ms(lambda _: meter.sample())

        def open_and_close(number: int) -> None:
            meter.open(Window(f"w{number}", "trials", os.getpid(), 1.0))
            meter.close(f"w{number}", "done")

        window = _cpu_ms(open_and_close)
    save(
        "meter",
        "python -m benchmarks meter",
        {
            "samples": SAMPLES,
            "cpu_ms_per_sample_median": median(sample),
            "cpu_ms_per_window_median": median(window),
            "share_of_one_core_while_sampling": median(sample) / 1e3 / INTERVAL_S,
            "training_time_beside_a_meter_ratio": _slowdown(),
        },
    )
