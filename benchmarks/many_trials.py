"""A grid of 1,000 trials of one epoch: does the driver's memory stay flat, and is the result quick to compare?"""

import os
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import psutil
import tomli_w

from benchmarks.record import keep
from kdtune.results.trials import TrialLog
from kdtune.specs import load_study

TRIALS = 1000


def run() -> None:
    """Run the grid and watch its driver."""
    study = load_study("digits-hkd", epochs=1, repeats=1).model_dump(mode="json", exclude_none=True)
    study |= {"name": "many", "search_space": {"tau": {"low": 2, "high": 20, "step": 18 / (TRIALS - 1)}}}
    study["strategies"] = {"grid": {}}
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        with (place / "many.toml").open("wb") as file:
            tomli_w.dump(study, file)
        environment = {**os.environ, "KDTUNE_CACHE_DIR": str(place / "cache")}
        kdtune = [sys.executable, "-m", "kdtune"]
        began_s = time.perf_counter()
        command = [*kdtune, "study", "many.toml", "--strategy", "grid", "--quiet"]
        with subprocess.Popen(command, cwd=place, env=environment, stdout=subprocess.DEVNULL) as driver:
            log = place / "results" / "many" / "grid" / "trials.jsonl"
            seen: list[tuple[int, float]] = []
            watcher = threading.Thread(target=_watch, args=(driver.pid, log, seen))
            watcher.start()
            if driver.wait():
                raise SystemExit(f"the study ended with {driver.returncode}")
            watcher.join()
        study_s = time.perf_counter() - began_s
        began_s = time.perf_counter()
        subprocess.run(
            [*kdtune, "compare", "results/many"], cwd=place, env=environment, check=True, capture_output=True
        )
        compare_s = time.perf_counter() - began_s
        ended = sum(trial.status == "completed" for trial in TrialLog.read(log).trials.values())
    keep(
        "many_trials",
        "python -m benchmarks many_trials",
        {
            "trials_completed": ended,
            "study_s": study_s,
            "compare_s": compare_s,
            "driver_rss_mb_at_trials": {str(count): rss for count, rss in _thinned(seen)},
        },
    )


def _watch(pid: int, log: Path, seen: list[tuple[int, float]]) -> None:
    """Note how many trials had ended, and the driver's memory, once a second until it ends."""
    driver = psutil.Process(pid)
    while True:
        try:
            rss_mb = driver.memory_info().rss / 1e6
        except psutil.NoSuchProcess:
            return
        if driver.status() == psutil.STATUS_ZOMBIE:
            return
        if log.exists():
            seen.append((log.read_bytes().count(b'"type":"end"'), rss_mb))
        time.sleep(1.0)


def _thinned(seen: list[tuple[int, float]]) -> list[Any]:
    """The first reading at or after every tenth of the trials."""
    wanted = [TRIALS * tenth // 10 for tenth in range(1, 11)]
    return [next((one for one in seen if one[0] >= count), seen[-1]) for count in wanted]
