"""What running a study costs beside its trainings: a digits grid by kdtune, and by a plain Ray Tune program."""

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median, quantiles
from typing import Any

from benchmarks.record import keep
from kdtune.energy.ledger import Record, read
from kdtune.specs import load_study

EPOCHS = 20

#: Turns, in each of which both run once.
TURNS = 3


def run() -> None:
    """Wall time of both, the first step of both, and the gaps between kdtune's trials."""
    taus = len(load_study("digits-hkd").search_space.points())
    found: dict[str, list[float]] = {key: [] for key in ("kdtune_s", "plain_s", "kdtune_first_s", "plain_first_s")}
    gaps: list[float] = []
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        _kdtune(place / "warm")  # the teacher, its logits and the decoded data
        teacher = next((place / "cache" / "teachers").glob("*/teacher.pt"))
        for turn in range(TURNS):
            began_s, seconds = _kdtune(place / f"turn-{turn}")
            ledger = next((place / f"turn-{turn}").glob("digits-hkd/grid/ledger/*.jsonl"))
            records = list(read(ledger))
            found["kdtune_s"].append(seconds)
            found["kdtune_first_s"].append(_opened(records)[0].counters.t_ns / 1e9 - began_s)
            gaps += _gaps_s(records)
            began_s, seconds, printed = _timed(
                [sys.executable, "-m", "benchmarks.plain_tune", str(teacher), str(EPOCHS), "32", str(taus)], place
            )
            found["plain_s"].append(seconds)
            found["plain_first_s"].append(float(printed.split()[-1]) - began_s)
    middle = {key: median(values) for key, values in found.items()}
    keep(
        "orchestration",
        "python -m benchmarks orchestration",
        {
            "trials": taus,
            "epochs": EPOCHS,
            **found,
            "plain_over_kdtune": middle["plain_s"] / middle["kdtune_s"],
            "first_step_later_than_plain_s": middle["kdtune_first_s"] - middle["plain_first_s"],
            "gap_between_trials_ms": {
                "median": median(gaps) * 1e3,
                "p95": quantiles(gaps, n=20)[-1] * 1e3,
                "count": len(gaps),
            },
        },
    )


def _kdtune(out: Path) -> tuple[float, float]:
    command = [sys.executable, "-m", "kdtune", "study", "digits-hkd", "--strategy", "grid", "--repeats", "1"]
    command += ["--epochs", str(EPOCHS), "--quiet", "--out", str(out)]
    return _timed(command, out.parent)[:2]


def _timed(command: list[str], place: Path) -> tuple[float, float, str]:
    """When a command began (seconds since boot), how long it took, and what it printed."""
    environment = {**os.environ, "KDTUNE_CACHE_DIR": str(place / "cache"), "RAY_AIR_NEW_OUTPUT": "0"}
    began_s = time.clock_gettime(time.CLOCK_MONOTONIC)
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=True)
    return began_s, time.clock_gettime(time.CLOCK_MONOTONIC) - began_s, done.stdout


def _opened(records: list[Record]) -> list[Record]:
    return [record for record in records if record.kind == "open" and record.window]


def _gaps_s(records: list[Record]) -> list[float]:
    """From the end of a trial to the beginning of the next one in the same worker."""
    ended_ns: dict[Any, int] = {}
    gaps = []
    for record in records:
        if record.window is None or record.window.bucket != "trials":
            continue
        if record.kind == "close":
            ended_ns[record.window.pid] = record.counters.t_ns
        elif record.kind == "open" and record.window.pid in ended_ns:
            gaps.append((record.counters.t_ns - ended_ns.pop(record.window.pid)) / 1e9)
    return gaps
