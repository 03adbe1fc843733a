"""Energy and results of studies whose trial, meter and driver are killed, in all combinations.

The processes of a real study receive SIGKILL while a trial of the grid runs. If the driver is killed, the study is
resumed.
"""

import itertools
import json
import os
import subprocess
import tempfile
from pathlib import Path
from typing import Any

from benchmarks import driving
from benchmarks.driving import (
    TIMEOUT_S,
    command,
    kill,
    open_windows,
    reproducible_result,
    session_processes,
    wait_for,
    wait_until_gone,
)
from benchmarks.record import save
from kdtune.energy.ledger import Record, read, read_folder
from kdtune.energy.running_account import account_of_ledger
from kdtune.energy.several_nodes import account_of_nodes

STRATEGY = "grid"
STUDY = ["study", "digits-hkd", "-s", STRATEGY, "--repeats", "1", "--epochs", "120", "--set", "search_space.tau.step=6"]
ROLES = ("trial", "meter", "driver")


def ledger(place: Path) -> list[Record]:
    """Return the records of the strategy's ledger so far, on its only node."""
    paths = list((place / "results" / "digits-hkd" / STRATEGY / "ledger").glob("*.jsonl"))
    return read(paths[0]) if paths else []


def begin(place: Path, arguments: list[str] = STUDY, **environment: str) -> subprocess.Popen[bytes]:
    """Start or resume the study, and wait until a trial has been running for two seconds.

    Args:
        place: Working folder, in which the output is written to ``said.txt``.
        arguments: Arguments of ``kdtune``.
        environment: Environment variables in addition to those of this process.
    """
    known = len(ledger(place))
    process = driving.begin(arguments, place, **environment)
    wait_for(process, lambda: _is_training(place, known) and _samples(ledger(place)[known:]) >= 2)
    return process


def _is_training(place: Path, known: int) -> bool:
    """Return whether a trial and its meter run, according to the records after the first ``known`` ones."""
    records = ledger(place)[known:]
    return bool(open_windows(records)) and records[-1].kind == "sample"


def _samples(records: list[Record]) -> int:
    return sum(record.kind == "sample" for record in records)


def pids_by_role(process: subprocess.Popen[bytes], records: list[Record]) -> dict[str, list[int]]:
    """Return the pids of the processes of each role."""
    meters = [pid for pid, line in session_processes(process.pid).items() if "NodeMeter" in line]
    return {"driver": [process.pid], "meter": meters, "trial": list(open_windows(records).values())[:1]}


def outcome(place: Path) -> dict[str, Any]:
    """Return the parts of the result that no kill may change."""
    return reproducible_result(place / "results" / "digits-hkd" / STRATEGY / "result.json")


def one_case(place: Path, roles: tuple[str, ...]) -> dict[str, Any]:
    """Start a study, kill processes, resume if the driver was killed, and return what happened."""
    process = begin(place)
    records = ledger(place)
    victims = pids_by_role(process, records)
    kill([pid for role in roles for pid in victims[role]])
    row: dict[str, Any] = {"before_uj": account_of_ledger(records).charged_uj(), "killed": "+".join(roles)}
    row["exit_code"] = process.wait(timeout=TIMEOUT_S)
    if "driver" in roles:
        wait_until_gone(process.pid, TIMEOUT_S)  # Ray's other processes end when they notice that their head is gone
        folder = place / "results" / "digits-hkd"
        resumed = subprocess.run(command("resume", str(folder)), cwd=place, capture_output=True, timeout=TIMEOUT_S)
        row["resume_exit_code"] = resumed.returncode
    account = account_of_nodes(read_folder(place / "results" / "digits-hkd" / STRATEGY / "ledger"))
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


def trial_log(place: Path) -> Path:
    """Return the path of the strategy's trial log."""
    return place / "results" / "digits-hkd" / STRATEGY / "trials.jsonl"


def run() -> None:
    """Run all combinations and compare each outcome with that of an undisturbed study."""
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
    save("kills", "python -m benchmarks kills", {"undisturbed": expected, "matrix": rows})
