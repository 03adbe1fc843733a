"""What becomes of the energy when processes are killed: trial, meter and driver, alone and together.

Real processes of a real study, SIGKILL, once a trial of the grid is under way. What a kill took down is resumed.
"""

import itertools
import json
import os
import subprocess
import tempfile
from pathlib import Path
from typing import Any

from benchmarks import driving
from benchmarks.driving import TIMEOUT_S, command, found_in, kill, of_session, open_windows, wait_for, wait_until_gone
from benchmarks.record import keep
from kdtune.energy.attribution import charge
from kdtune.energy.ledger import Record, read, read_folder
from kdtune.energy.several_nodes import charge_all

STRATEGY = "grid"
STUDY = ["study", "digits-hkd", "-s", STRATEGY, "--repeats", "1", "--epochs", "120", "--set", "search_space.tau.step=6"]
ROLES = ("trial", "meter", "driver")


def ledger(place: Path) -> list[Record]:
    """The strategy's ledger so far; one node."""
    paths = list((place / "results" / "digits-hkd" / STRATEGY / "ledger").glob("*.jsonl"))
    return read(paths[0]) if paths else []


def begin(place: Path, arguments: list[str] = STUDY, **environment: str) -> subprocess.Popen[bytes]:
    """Start the study, or go on with it, and wait until a trial has been at work for two seconds.

    Args:
        place: Its working folder, in which ``said.txt`` gets what it says.
        arguments: Of ``kdtune``.
        environment: Added to this process's own.
    """
    known = len(ledger(place))
    process = driving.begin(arguments, place, **environment)
    wait_for(process, lambda: _went_on(place, known) and _samples(ledger(place)[known:]) >= 2)
    return process


def _went_on(place: Path, known: int) -> bool:
    """Whether a trial is at work, and what watches it: in the records after those known before the command began."""
    records = ledger(place)[known:]
    return bool(open_windows(records)) and records[-1].kind == "sample"


def _samples(records: list[Record]) -> int:
    return sum(record.kind == "sample" for record in records)


def pids(process: subprocess.Popen[bytes], records: list[Record]) -> dict[str, list[int]]:
    """The processes of each role."""
    meters = [pid for pid, line in of_session(process.pid).items() if "NodeMeter" in line]
    return {"driver": [process.pid], "meter": meters, "trial": list(open_windows(records).values())[:1]}


def outcome(place: Path) -> dict[str, Any]:
    """The parts of the result that no kill may change."""
    return found_in(place / "results" / "digits-hkd" / STRATEGY / "result.json")


def one_case(place: Path, roles: tuple[str, ...]) -> dict[str, Any]:
    """Run, kill, resume where the command went down too, and add up."""
    process = begin(place)
    records = ledger(place)
    victims = pids(process, records)
    kill([pid for role in roles for pid in victims[role]])
    row: dict[str, Any] = {"before_uj": charge(records).charged_uj(), "killed": "+".join(roles)}
    row["exit_code"] = process.wait(timeout=TIMEOUT_S)
    if "driver" in roles:
        wait_until_gone(process.pid, TIMEOUT_S)  # Ray's other processes notice that their head is gone
        folder = place / "results" / "digits-hkd"
        resumed = subprocess.run(command("resume", str(folder)), cwd=place, capture_output=True, timeout=TIMEOUT_S)
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
