"""A grid of 1,000 trials with one epoch each, to find memory leaks in driver, workers and meter.

The memory of each process is read once a second: RSS, PSS (shared pages divided by the number of their users) and USS
(memory that is not shared). Growth is the slope of a least-squares line through the USS after the first 50 trials; RSS
and PSS depend on other processes too. The time of ``kdtune compare`` on the result is measured as well.
"""

import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterable
from pathlib import Path
from statistics import linear_regression
from typing import Any, NamedTuple

import psutil
import tomli_w

from benchmarks.driving import session_processes
from benchmarks.record import save
from kdtune.results.trial_log import TrialLog
from kdtune.specs import load_study

TRIALS = 1000

#: Number of trials at the beginning that are not evaluated, since imports and caches still need memory.
WARM_UP_TRIALS = 50

#: Number of trials that a process must have seen for its growth to be meaningful.
LEAST_TRIALS = 200

#: Allowed growth in kilobytes per trial. The driver's bound is what Ray Tune stores about every trial until the
#: experiment ends.
BOUNDS_KB_A_TRIAL = {"driver": 15.0, "meter": 2.0, "worker": 2.0}

#: Ray's own processes, which are observed too but have no bound.
DAEMONS = ("gcs_server", "raylet")


class Reading(NamedTuple):
    """Memory of a process, in megabytes, when a number of trials had ended."""

    ended: int
    rss_mb: float
    pss_mb: float
    uss_mb: float


def run() -> None:
    """Run the grid and observe the memory of its processes."""
    study = load_study("digits-hkd", epochs=1, repeats=1).model_dump(mode="json", exclude_none=True)
    study |= {"name": "soak", "search_space": {"tau": {"low": 2, "high": 20, "step": 18 / (TRIALS - 1)}}}
    study["strategies"] = {"grid": {}}
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        with (place / "soak.toml").open("wb") as file:
            tomli_w.dump(study, file)
        environment = {**os.environ, "KDTUNE_CACHE_DIR": str(place / "cache")}
        kdtune = [sys.executable, "-m", "kdtune"]
        log = place / "results" / "soak" / "grid" / "trials.jsonl"
        began_s = time.perf_counter()
        command = [*kdtune, "study", "soak.toml", "--strategy", "grid", "--quiet"]
        with subprocess.Popen(
            command, cwd=place, env=environment, stdout=subprocess.DEVNULL, start_new_session=True
        ) as driver:
            seen: dict[tuple[str, int], list[Reading]] = {}
            watcher = threading.Thread(target=_watch, args=(driver, log, seen))
            watcher.start()
            if driver.wait():
                raise SystemExit(f"the study ended with exit code {driver.returncode}")
            watcher.join()
        study_s = time.perf_counter() - began_s
        began_s = time.perf_counter()
        subprocess.run(
            [*kdtune, "compare", "results/soak"], cwd=place, env=environment, check=True, capture_output=True
        )
        compare_s = time.perf_counter() - began_s
        ended = sum(trial.status == "completed" for trial in TrialLog.read(log).trials.values())
    warm = {key: [one for one in readings if one.ended >= WARM_UP_TRIALS] for key, readings in sorted(seen.items())}
    long = {key: readings for key, readings in warm.items() if readings and _trials(readings) >= LEAST_TRIALS}
    memory = [_figures(role, readings) for (role, _), readings in long.items()]
    save(
        "soak",
        "python -m benchmarks soak",
        {
            "trials_completed": ended,
            "study_s": study_s,
            "compare_s": compare_s,
            "bounds_kb_a_trial": BOUNDS_KB_A_TRIAL,
            "flat": all(one["flat"] for one in memory if one["flat"] is not None),
            "memory": memory,
            "too_short_to_tell": len(seen) - len(long),
        },
    )


def _watch(driver: subprocess.Popen[bytes], log: Path, seen: dict[tuple[str, int], list[Reading]]) -> None:
    """Record each process's memory and the number of trials that have ended, until the command ends.

    Args:
        driver: The command.
        log: The strategy's trial log.
        seen: Receives the readings, by role and pid of the process.
    """
    while driver.poll() is None:
        ended = log.read_bytes().count(b'"type":"end"') if log.exists() else 0
        if ended < TRIALS:  # memory used after the last trial is no growth per trial
            for pid, role in _watched(driver.pid):
                try:
                    memory = psutil.Process(pid).memory_full_info()
                except psutil.Error:
                    continue  # the process has ended
                now = Reading(ended, memory.rss / 1e6, memory.pss / 1e6, memory.uss / 1e6)
                seen.setdefault((role, pid), []).append(now)
        time.sleep(1.0)


def _watched(driver: int) -> Iterable[tuple[int, str]]:
    """Yield pid and role of each process of a command that is observed."""
    for pid, line in session_processes(driver).items():
        program = Path(line.split(" ")[0]).name
        if pid == driver:
            yield pid, "driver"
        elif "NodeMeter" in line:
            yield pid, "meter"
        elif "DistillTrainable" in line or "ResourceTrainable" in line:
            yield pid, "worker"
        elif program in DAEMONS:
            yield pid, program


def _figures(role: str, warm: list[Reading]) -> dict[str, Any]:
    """Return a process's memory at every hundredth trial, and its growth per trial."""
    slope_kb = _slope_mb(warm) * 1e3
    bound = BOUNDS_KB_A_TRIAL.get(role)
    at = [next((one for one in warm if one.ended >= mark), None) for mark in range(100, TRIALS + 1, 100)]
    return {
        "process": role,
        "kb_a_trial": slope_kb,
        "flat": None if bound is None else slope_kb <= bound,
        "at_trials": {
            str(one.ended): {"rss_mb": round(one.rss_mb), "pss_mb": round(one.pss_mb), "uss_mb": round(one.uss_mb, 1)}
            for one in at
            if one
        },
    }


def _trials(readings: list[Reading]) -> int:
    return readings[-1].ended - readings[0].ended


def _slope_mb(readings: list[Reading]) -> float:
    return linear_regression([one.ended for one in readings], [one.uss_mb for one in readings]).slope
