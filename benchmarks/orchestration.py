"""Overhead of running a study: wall time of a digits grid with kdtune and with a plain Ray Tune program.

kdtune runs the grid in two ways: with a live teacher, as the plain program does, and with replayed logits that were
stored before the measurement. In both cases the teacher is trained and the data are decoded already.
"""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median, quantiles
from typing import Any

from benchmarks.record import ResultsByRound, print_progress
from kdtune.energy.ledger import Record, read
from kdtune.specs import load_study

EPOCHS = 20

#: Rounds, in each of which every way runs once.
TURNS = 3

#: Logit mode of each of kdtune's ways.
MODES = {"kdtune, live": "live", "kdtune, replayed": "replay"}

PLAIN = "plain"


def run(turns: int = TURNS, epochs: int = EPOCHS) -> None:
    """Measure the wall time of all ways, the times of their first steps, and the gaps between kdtune's trials."""
    sheet = ResultsByRound("orchestration", "python -m benchmarks orchestration")
    taus = len(load_study("digits-hkd").search_space.points())
    whole_s: dict[str, list[float]] = {way: [] for way in (*MODES, PLAIN)}
    first_s: dict[str, list[float]] = {way: [] for way in whole_s}
    gaps_s: dict[str, list[float]] = {way: [] for way in MODES}
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        for mode in MODES.values():
            _kdtune(place / f"warm-{mode}", mode, epochs)
        teacher = next((place / "cache" / "teachers").glob("*/teacher.pt"))
        for turn in range(turns):
            for way, mode in MODES.items():
                out = place / f"{mode}-{turn}"
                began_s, seconds = _kdtune(out, mode, epochs)
                records = list(read(next(out.glob("digits-hkd/grid/ledger/*.jsonl"))))
                whole_s[way].append(seconds)
                first_s[way].append(_opened(records)[0].counters.t_ns / 1e9 - began_s)
                gaps_s[way] += _gaps_s(records)
                print_progress(f"turn {turn + 1}: {way}: {seconds:.1f} s")
            began_s, seconds, printed = _timed(
                [sys.executable, "-m", "benchmarks.plain_tune", str(teacher), str(epochs), "32", str(taus)], place
            )
            whole_s[PLAIN].append(seconds)
            first_s[PLAIN].append(float(printed.split()[-1]) - began_s)
            print_progress(f"turn {turn + 1}: {PLAIN}: {seconds:.1f} s")
            results = {"trials": taus, "epochs": epochs, **_summary(whole_s, first_s, gaps_s)}
            sheet.save(results)
    sheet.finish(results)


def _summary(
    whole_s: dict[str, list[float]], first_s: dict[str, list[float]], gaps_s: dict[str, list[float]]
) -> dict[str, Any]:
    return {
        "whole_s": whole_s,
        "first_step_s": first_s,
        "plain_over": {way: median(whole_s[PLAIN]) / median(whole_s[way]) for way in MODES},
        "first_step_later_than_plain_s": {way: median(first_s[way]) - median(first_s[PLAIN]) for way in MODES},
        "gap_between_trials_ms": {way: _spread_ms(gaps) for way, gaps in gaps_s.items()},
    }


def _spread_ms(gaps_s: Sequence[float]) -> dict[str, float]:
    return {
        "median": median(gaps_s) * 1e3,
        "p95": quantiles(gaps_s, n=20)[-1] * 1e3,
        "count": len(gaps_s),
    }


def _kdtune(out: Path, mode: str, epochs: int) -> tuple[float, float]:
    command = [sys.executable, "-m", "kdtune", "study", "digits-hkd", "--strategy", "grid", "--repeats", "1"]
    command += ["--epochs", str(epochs), "--set", f"teacher_logits={mode}", "--quiet", "--out", str(out)]
    return _timed(command, out.parent)[:2]


def _timed(command: list[str], place: Path) -> tuple[float, float, str]:
    """Run a command; return its start in seconds since boot, its duration in seconds, and its output."""
    environment = {**os.environ, "KDTUNE_CACHE_DIR": str(place / "cache"), "RAY_AIR_NEW_OUTPUT": "0"}
    began_s = time.clock_gettime(time.CLOCK_MONOTONIC)
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=True)
    return began_s, time.clock_gettime(time.CLOCK_MONOTONIC) - began_s, done.stdout


def _opened(records: list[Record]) -> list[Record]:
    return [record for record in records if record.kind == "open" and record.window]


def _gaps_s(records: list[Record]) -> list[float]:
    """Return the seconds between the end of each trial and the start of the next one in the same worker."""
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
