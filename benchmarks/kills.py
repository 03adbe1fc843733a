"""What becomes of the energy when processes are killed: trial, meter and driver, alone and together.

Real processes of a real study, SIGKILL, once a trial of the grid is under way. What a kill took down is resumed.
"""

import itertools
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import psutil

from benchmarks.record import keep
from kdtune.energy.attribution import charge, charge_all
from kdtune.energy.ledger import Record, read, read_folder

STRATEGY = "grid"
STUDY = ["study", "digits-hkd", "-s", STRATEGY, "--repeats", "1", "--epochs", "120", "--set", "search_space.tau.step=6"]
ROLES = ("trial", "meter", "driver")


def command(*arguments: str) -> list[str]:
    """``kdtune`` with arguments, in this Python."""
    return [sys.executable, "-m", "kdtune", *arguments]


def ledger(place: Path) -> list[Record]:
    """The strategy's ledger so far; one node."""
    paths = list((place / "results" / "digits-hkd" / STRATEGY / "ledger").glob("*.jsonl"))
    return read(paths[0]) if paths else []


def open_windows(records: list[Record]) -> dict[str, int]:
    """The process of each window that is open at the end of a ledger."""
    found: dict[str, int] = {}
    for record in records:
        if record.window and record.kind == "open":
            found[record.window.id] = record.window.pid
        elif record.window and record.kind == "close":
            found.pop(record.window.id, None)
    return found


def begin(place: Path, arguments: list[str] = STUDY, **environment: str) -> subprocess.Popen[bytes]:
    """Start the study, or go on with it, and wait until a trial has been at work for two seconds.

    Args:
        place: Its working folder, in which ``said.txt`` gets what it says.
        arguments: Of ``kdtune``.
        environment: Added to this process's own.
    """
    known = len(ledger(place))
    with (place / "said.txt").open("wb") as said:
        process = subprocess.Popen(
            command(*arguments),
            cwd=place,
            env={**os.environ, **environment},
            stdout=said,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    wait_for(process, lambda: _went_on(place, known) and _samples(ledger(place)[known:]) >= 2)
    return process


def _went_on(place: Path, known: int) -> bool:
    """Whether a trial has been at work since the kill, and what watches it: in the records after those known then."""
    records = ledger(place)[known:]
    return bool(open_windows(records)) and records[-1].kind == "sample"


def _samples(records: list[Record]) -> int:
    return sum(record.kind == "sample" for record in records)


def wait_for(process: subprocess.Popen[bytes], condition: Callable[[], bool]) -> None:
    """Wait while the study runs until something holds."""
    deadline = time.monotonic() + 100
    while not condition():
        if process.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError("the study did not come so far")
        time.sleep(0.1)


def pids(process: subprocess.Popen[bytes], records: list[Record]) -> dict[str, list[int]]:
    """The processes of each role."""
    below = psutil.Process(process.pid).children(recursive=True)
    meters = [one.pid for one in below if "NodeMeter" in " ".join(one.cmdline())]
    return {"driver": [process.pid], "meter": meters, "trial": list(open_windows(records).values())[:1]}


def outcome(place: Path) -> dict[str, Any]:
    """The parts of the result that no kill may change."""
    result = json.loads((place / "results" / "digits-hkd" / STRATEGY / "result.json").read_text())
    return {
        "status": result["status"],
        "chosen": [one["chosen"] for one in result["repeats"]],
        "val_accuracy": [one["val_accuracy"] for one in result["repeats"]],
        "test": [one["test"] for one in result["repeats"]],
        "completed": result["cost"]["trials"]["completed"],
    }


def one_case(place: Path, *waves: tuple[str, ...]) -> dict[str, Any]:
    """Run, kill in one wave or several, resume where the command went down too, and add up."""
    process = begin(place)
    row: dict[str, Any] = {}
    for roles in waves:
        records = ledger(place)
        victims = pids(process, records)
        for pid in (pid for role in roles for pid in victims[role]):
            os.kill(pid, signal.SIGKILL)
        row["before_uj"] = charge(records).charged_uj()
        if roles is not waves[-1]:
            wait_for(process, partial(_went_on, place, len(records)))
    row["killed"] = ", then ".join("+".join(roles) for roles in waves)
    row["exit_code"] = process.wait(timeout=180)
    if "driver" in waves[-1]:
        while any(map(_runs, victims["meter"])):  # Ray's other processes notice that their head is gone
            time.sleep(0.1)
        time.sleep(3.0)
        folder = place / "results" / "digits-hkd"
        resumed = subprocess.run(command("resume", str(folder)), cwd=place, capture_output=True, timeout=180)
        row["resume_exit_code"] = resumed.returncode
    account = charge_all(read_folder(place / "results" / "digits-hkd" / STRATEGY / "ledger"))
    trials = [json.loads(line) for line in trial_log(place).read_text().splitlines()]
    row |= {
        "after_uj": account.charged_uj(),
        "gap_uj": account.gap_uj,
        "flags": account.flags,
        "buckets_sum_to_node": sum(account.buckets.values()) == account.node_uj,
        "attempts_taken_up_again": sum(line["type"] == "attempt" and line["attempt"] > 1 for line in trials),
        "outcome": outcome(place),
    }
    return row


def _runs(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def trial_log(place: Path) -> Path:
    """The strategy's trial log."""
    return place / "results" / "digits-hkd" / STRATEGY / "trials.jsonl"


def run() -> None:
    """Every combination, each compared with the undisturbed study."""
    rows = []
    with tempfile.TemporaryDirectory() as root:
        os.environ["KDTUNE_CACHE_DIR"] = str(Path(root) / "cache")
        undisturbed = Path(root) / "undisturbed"
        undisturbed.mkdir()
        subprocess.run(command(*STUDY), cwd=undisturbed, check=True, capture_output=True)
        expected = outcome(undisturbed)
        for number in range(1, len(ROLES) + 1):
            for roles in itertools.combinations(ROLES, number):
                place = Path(root) / "-".join(roles)
                place.mkdir()
                row = one_case(place, roles)
                row["same_outcome"] = row.pop("outcome") == expected
                rows.append(row)
    keep("kills", "python -m benchmarks kills", {"undisturbed": expected, "matrix": rows})
