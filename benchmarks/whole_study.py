"""A grid on Fashion-MNIST by kdtune, against the reference loop run once for each of its points.

Energy is modelled alike for both: CPU seconds of the whole machine, on which nothing else may run, at the design power
of a core, and memory by time.
"""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil

from benchmarks.record import keep
from kdtune.energy.estimate import modelled_cpu_uj
from kdtune.energy.sensors import NodeSensors
from kdtune.specs import load_study

EPOCHS = 2


def run() -> None:
    """Run both, the grid and one stochastic training."""
    points = len(load_study("fashion-hkd").search_space.points())
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        _kdtune("none", place / "warm")  # the decoded data
        teacher = _measured(lambda: _kdtune("fixed", place / "teacher"))
        # Each has to ask the teacher itself, as its bill says.
        ways = {}
        for name, trainings in (("grid", points), ("stochastic", 1)):
            _drop_logits(place)
            ours = _measured(lambda name=name: _kdtune(name, place / name))
            theirs = _measured(lambda trainings=trainings: _reference(trainings))
            ways[name] = {
                "trainings": trainings,
                "kdtune": ours,
                "reference": theirs,
                "reference_over_kdtune": {key: theirs[key] / ours[key] for key in ours},
            }
    keep(
        "whole_study",
        "python -m benchmarks whole_study",
        {"epochs": EPOCHS, "with_the_teachers_training": teacher, **ways},
    )


def _drop_logits(place: Path) -> None:
    command = [sys.executable, "-m", "kdtune", "clean", "teacher-logits", "--yes"]
    subprocess.run(command, env=_environment(place), check=True, capture_output=True)


def _environment(place: Path) -> dict[str, str]:
    return {**os.environ, "KDTUNE_CACHE_DIR": str(place / "cache")}


def _kdtune(strategy: str, out: Path) -> None:
    command = [sys.executable, "-m", "kdtune", "study", "fashion-hkd", "--strategy", strategy, "--repeats", "1"]
    command += ["--epochs", str(EPOCHS), "--quiet", "--out", str(out)]
    subprocess.run(command, env=_environment(out.parent), check=True, capture_output=True)


def _reference(trainings: int) -> None:
    """One process for each training, with as many threads as there are cores."""
    for _ in range(trainings):
        subprocess.run([sys.executable, "-m", "benchmarks.whole_study"], check=True)


def _measured(action: Callable[[], None]) -> dict[str, Any]:
    """Wall seconds, CPU seconds of the whole machine (Ray's daemon does not wait for its workers), and joules."""
    hardware = NodeSensors().hardware()
    began_s, before_s = time.perf_counter(), _busy_s()
    action()
    wall_s, cpu_s = time.perf_counter() - began_s, _busy_s() - before_s
    joules = (modelled_cpu_uj(hardware, cpu_s) + hardware.ram_uw * wall_s) / 1e6
    return {"wall_s": wall_s, "cpu_s": cpu_s, "joules_modelled": joules}


def _busy_s() -> float:
    times = psutil.cpu_times()
    return float(sum(times) - times.idle - times.iowait - times.guest - times.guest_nice)


def _one_reference_training() -> None:
    import torch

    from benchmarks.reference import ReferenceLoop, fashion_mnist

    train, validation = fashion_mnist(Path(os.environ["KDTUNE_DATA_DIR"]))
    loop = ReferenceLoop(train, "convnet_16_32_64", "convnet_4_8_16", 10, torch.device("cpu"))
    for _ in range(EPOCHS):
        loop.epoch_s()
        loop.evaluate(validation)


if __name__ == "__main__":
    _one_reference_training()
