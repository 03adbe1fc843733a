"""Faults in the middle of a study: what the user sees, and whether anything is lost.

The study and the faults are real: signals, killed daemons of Ray, exhausted memory, a full or read-only disk, damaged
and edited files. After each fault its cause is removed and the study is resumed. Root is required for mounting disks.
Kills of trial, meter and driver in all combinations are in :mod:`benchmarks.kills`.
"""

import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from benchmarks import kills
from benchmarks.driving import command, open_windows, wait_for
from benchmarks.record import save
from kdtune.energy.ledger import read_folder
from kdtune.energy.several_nodes import account_of_nodes

#: Beginnings of the output lines that say what happened and what the user can do.
MESSAGE_PREFIXES = ("error: ", "Failed: ", "Interrupted", "Not finished", "Ray Tune failed", "trial ")

#: Size of the disk that some faults mount for the study.
DISK_BYTES = 64 << 20

#: Memory that is free, when the study starts, below the threshold at which Ray's memory monitor kills workers.
SPARE_BYTES = 6 << 30

Study = subprocess.Popen[bytes]


def strategy_folder(place: Path) -> Path:
    """Return the results folder of the study's only strategy."""
    return kills.trial_log(place).parent


def checkpoints(place: Path) -> list[Path]:
    """Return the checkpoint folders of all trials that have one."""
    return list((strategy_folder(place) / "checkpoints").glob("*"))


def outcome(place: Path) -> dict[str, Any]:
    """Return the results that no fault may change by a single bit."""
    with np.load(strategy_folder(place) / "predictions.npz") as kept:
        predictions = {name: kept[name].tolist() for name in kept.files}
    return {**kills.outcome(place), "predictions": predictions}


def teacher_logits() -> list[Path]:
    """Return the files of the cache that contain the teacher's logits."""
    return list((Path(os.environ["KDTUNE_CACHE_DIR"]) / "teacher-logits").glob("*/logits.npy"))


def told(place: Path) -> list[str]:
    """Return the messages about the fault that commands printed, without folder names and addresses of this machine."""
    lines = [line for path in sorted(place.glob("said*.txt")) for line in path.read_text(errors="replace").splitlines()]
    said = "\n".join(line.strip() for line in lines if line.startswith(MESSAGE_PREFIXES)).replace(str(place), ".")
    said = said.replace(os.environ.get("KDTUNE_CACHE_DIR", str(place)), "CACHE")
    return re.sub(r"\b\d+(\.\d+){3}\b", "ADDRESS", said).splitlines()


def resume(place: Path, output_name: str = "said.txt") -> int:
    """Resume the study, wait until the command ends and return its exit code.

    Args:
        place: Working folder of the study.
        output_name: File in ``place`` to which the output is written.
    """
    folder = place / "results" / "digits-hkd"
    with (place / output_name).open("wb") as said:
        done = subprocess.run(
            command("resume", str(folder)), cwd=place, stdout=said, stderr=subprocess.STDOUT, timeout=300
        )
    return done.returncode


# --- the faults ------------------------------------------------------------------------------------------------


def interrupt(place: Path, study: Study) -> None:
    """Send SIGINT to the process group, as a terminal does on Ctrl-C."""
    os.killpg(study.pid, signal.SIGINT)


def terminate(place: Path, study: Study) -> None:
    """Send SIGTERM to the command, as a batch system does."""
    study.terminate()


def kill_daemon(name: str) -> Callable[[Path, Study], None]:
    """Return a function that kills one of Ray's daemons."""

    def strike(place: Path, study: Study) -> None:
        for process in psutil.Process(study.pid).children():
            if process.name() == name:
                process.kill()

    return strike


def kill_all(place: Path, study: Study) -> None:
    """Kill the command and all its descendants, as in a power cut (except that no data in disk caches are lost)."""
    descendants = psutil.Process(study.pid).children(recursive=True)
    for process in [psutil.Process(study.pid), *descendants]:
        with suppress(psutil.NoSuchProcess):
            process.kill()
    study.wait()
    psutil.wait_procs(descendants)


def use_up_memory(place: Path, study: Study) -> None:
    """Allocate memory in another process until Ray kills a trial, then free it."""
    trial = next(iter(open_windows(kills.ledger(place)).values()))
    code = f"import time; taken = bytearray({SPARE_BYTES}); taken[::4096] = b'x' * len(taken[::4096]); time.sleep(90)"
    with subprocess.Popen([sys.executable, "-c", code]) as hog:
        until_s = time.monotonic() + 60
        while psutil.pid_exists(trial) and time.monotonic() < until_s:
            time.sleep(0.05)
        hog.kill()


def fill_disk(place: Path, study: Study) -> None:
    """Fill the disk with a file."""
    with (place / "filler").open("wb", buffering=0) as filler, suppress(OSError):
        while True:
            filler.write(bytes(4096))


def empty_disk(place: Path) -> None:
    """Remove the file that fills the disk."""
    (place / "filler").unlink()


def make_read_only(place: Path, study: Study) -> None:
    """Remount the results folder read-only, as Linux does after a disk error."""
    results = str(place / "results")
    subprocess.run(["mount", "--bind", results, results], check=True)
    subprocess.run(["mount", "-o", "remount,bind,ro", results], check=True)


def make_writable(place: Path) -> None:
    """Make the results folder writable again."""
    subprocess.run(["umount", "--lazy", str(place / "results")], check=True)


def set_clock_back(place: Path, study: Study) -> None:
    """Set the clock of the study's processes back by a day; see :data:`CLOCK`."""
    (place / "clock-is-back").touch()


#: Content of a ``sitecustomize.py``, which Python runs when it starts. It replaces the clock of the study's processes,
#: since the clock of a machine cannot be changed for single processes.
CLOCK = """
import os, time
def late(read, day):
    return lambda: read() - day * os.path.exists(os.environ["CLOCK_IS_BACK"])
time.time, time.time_ns = late(time.time, 86400), late(time.time_ns, 86400 * 10**9)
"""


def spoil_logits(place: Path, study: Study) -> None:
    """Overwrite part of the teacher's logits on the disk, and kill a trial so that they are read again."""
    for path in teacher_logits():
        with path.open("r+b") as file:
            file.seek(4000)
            file.write(b"\xff" * 64)
    kill_trial(place)


def delete_cache(place: Path, study: Study) -> None:
    """Delete the cache while the study runs, and kill a trial so that it is read again."""
    subprocess.run(["rm", "-rf", os.environ["KDTUNE_CACHE_DIR"]], check=True)
    kill_trial(place)


def kill_trial(place: Path) -> None:
    """Kill the worker of a trial, so that another worker must read all files again."""
    os.kill(next(iter(open_windows(kills.ledger(place)).values())), signal.SIGKILL)


def start_second(place: Path, study: Study) -> None:
    """Start a second command on the same folder, which must be refused while the first one continues."""
    code = resume(place, "said-second.txt")
    if code != 2 or study.poll() is not None:
        raise RuntimeError(f"the second command ended with exit code {code}")


def after_death(harm: Callable[[Path], None]) -> Callable[[Path, Study], None]:
    """Return a function that kills the whole study and then damages files.

    Args:
        harm: Damages the files in a working folder.
    """

    def strike(place: Path, study: Study) -> None:
        wait_for(study, lambda: any(len(list(one.glob("*.pt"))) > 1 for one in checkpoints(place)))
        kill_all(place, study)
        harm(place)

    return strike


def spoil_checkpoints(place: Path) -> None:
    """Truncate the last checkpoint of each trial, and flip bits of the one before."""
    for folder in checkpoints(place):
        *_, before, last = [None, None, *sorted(folder.glob("epoch-*.pt"))]
        if last:
            last.write_bytes(last.read_bytes()[:-100])
        if before:
            content = bytearray(before.read_bytes())
            content[len(content) // 2] ^= 0xFF
            before.write_bytes(content)


def tear_log(place: Path) -> None:
    """Truncate the last line of the trial log."""
    log = kills.trial_log(place)
    log.write_bytes(log.read_bytes()[:-7])


def swap(name: str, old: str, new: str) -> Callable[[Path], None]:
    """Return a function that replaces a text in one of the strategy's files, as if a user had edited it."""

    def harm(place: Path) -> None:
        path = strategy_folder(place) / name
        content = path.read_text()
        if old not in content:
            raise RuntimeError(f"{path} does not contain {old}")
        path.write_text(content.replace(old, new, 1))

    return harm


@dataclass(frozen=True)
class Fault:
    """A fault and its remedy.

    Attributes:
        strike: Causes the fault in a running study.
        mend: Removes the cause before the study is resumed.
        refused: Whether a resume before ``mend`` must be refused with a message.
        own_disk: Whether the working folder is mounted as a small disk of its own.
        low_memory: Whether Ray's memory monitor is set to a low threshold.
        clock: Whether the clock of the study's processes can be set back.
    """

    strike: Callable[[Path, Study], None]
    mend: Callable[[Path], None] = lambda place: None
    refused: bool = False
    own_disk: bool = False
    low_memory: bool = False
    clock: bool = False

    def environment(self, place: Path) -> dict[str, str]:
        """Return the environment variables that the fault needs in the study's processes."""
        if self.low_memory:
            memory = psutil.virtual_memory()
            share = (memory.total - memory.available + SPARE_BYTES) / memory.total
            return {"RAY_memory_usage_threshold": f"{share:.3f}", "RAY_memory_monitor_refresh_ms": "100"}
        if self.clock:
            (place / "sitecustomize.py").write_text(CLOCK)
            paths = os.pathsep.join(filter(None, [str(place), os.environ.get("PYTHONPATH")]))
            return {"PYTHONPATH": paths, "CLOCK_IS_BACK": str(place / "clock-is-back")}
        return {}


FAULTS = {
    "Ctrl-C": Fault(interrupt),
    "SIGTERM": Fault(terminate),
    "raylet killed": Fault(kill_daemon("raylet")),
    "gcs_server killed": Fault(kill_daemon("gcs_server")),
    "everything killed": Fault(kill_all),
    "out of memory": Fault(use_up_memory, low_memory=True),
    "full disk": Fault(fill_disk, empty_disk, own_disk=True),
    "read-only folder": Fault(make_read_only, make_writable),
    "clock set back": Fault(set_clock_back, clock=True),
    "second command": Fault(start_second),
    "teacher's logits damaged": Fault(spoil_logits),
    "cache deleted": Fault(delete_cache),
    "checkpoints damaged": Fault(after_death(spoil_checkpoints)),
    "trial log torn": Fault(after_death(tear_log)),
    "trial log changed": Fault(
        after_death(swap("trials.jsonl", '"tau":2', '"tau":3')),
        swap("trials.jsonl", '"tau":3', '"tau":2'),
        refused=True,
    ),
    "study changed": Fault(
        after_death(swap("study.toml", "epochs = 120", "epochs = 90")),
        swap("study.toml", "epochs = 90", "epochs = 120"),
        refused=True,
    ),
}


def one_case(place: Path, fault: Fault) -> dict[str, Any]:
    """Start a study, cause a fault, remove its cause, resume the study, and return what happened."""
    if fault.own_disk:
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES}", "tmpfs", str(place)], check=True)
    try:
        return _one_case(place, fault)
    finally:
        if fault.own_disk:
            subprocess.run(["umount", "--lazy", str(place)], check=True)


def _one_case(place: Path, fault: Fault) -> dict[str, Any]:
    study = kills.begin(place, kills.STUDY, **fault.environment(place))
    finished = set(_completed(place))
    struck_s = time.monotonic()
    fault.strike(place, study)
    row: dict[str, Any] = {
        "exit_code": study.wait(timeout=240),
        "seconds_to_end": round(time.monotonic() - struck_s, 1),
    }
    if fault.refused:
        row["refused_with"] = resume(place)
    row["told"] = told(place)
    row["traceback"] = "Traceback" in (place / "said.txt").read_text(errors="replace")
    fault.mend(place)
    row["resume_exit_code"] = resume(place)
    account = account_of_nodes(read_folder(strategy_folder(place) / "ledger"))
    row |= {
        "finished_trials_run_again": sum(_completed(place).count(trial) > 1 for trial in finished),
        "gap_uj": account.gap_uj,
        "flags": account.flags,
        "buckets_sum_to_node": sum(account.buckets.values()) == account.node_uj,
        "outcome": outcome(place),
    }
    return row


def _completed(place: Path) -> list[str]:
    """Return the ids of completed trials, as often as each was completed."""
    lines = map(json.loads, kills.trial_log(place).read_text().splitlines())
    return [line["trial_id"] for line in lines if line["type"] == "end" and line["status"] == "completed"]


def run() -> None:
    """Run all faults and compare each outcome with that of an undisturbed study."""
    rows = {}
    with tempfile.TemporaryDirectory() as root:
        os.environ["KDTUNE_CACHE_DIR"] = str(Path(root) / "cache")
        undisturbed = Path(root) / "undisturbed"
        undisturbed.mkdir()
        subprocess.run(command(*kills.STUDY), cwd=undisturbed, check=True, capture_output=True)
        expected = outcome(undisturbed)
        for number, (name, fault) in enumerate(FAULTS.items()):
            place = Path(root) / str(number)
            place.mkdir()
            row = one_case(place, fault)
            found = row.pop("outcome")
            rows[name] = {**row, "trials_lost": expected["completed"] - found["completed"]}
            rows[name]["same_table"] = found == expected
    expected.pop("predictions")
    save("faults", "python -m benchmarks faults", {"undisturbed": expected, "matrix": rows})
