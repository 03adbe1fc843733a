"""Saving of benchmark results: a JSON file for each benchmark, with the machine, its load, and the versions."""

import json
import os
import platform
import sys
import time
from pathlib import Path
from typing import Any

import psutil
import torch

RESULTS = Path(__file__).parent / "results"

#: Share of the cores that other processes may use; above it, timings are not reliable.
BUSY = 0.1

#: Time for which the load of the cores is measured, in seconds.
LOOK_S = 2.0

_LOAD_AT_START = os.getloadavg()


def print_progress(text: str) -> None:
    """Print a message about the progress of a benchmark to stderr, since stdout is for results."""
    print(text, file=sys.stderr, flush=True)


def machine() -> dict[str, Any]:
    """Return a description of this machine; its load averages are over 1, 5 and 15 minutes."""
    cpu = next((line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")), "")
    return {
        "cpu": cpu.partition(":")[2].strip(),
        "cores": psutil.cpu_count(),
        "memory_gib": round(psutil.virtual_memory().total / 2**30, 1),
        "gpu": torch.cuda.get_device_name(0) if torch.cuda.is_available() else None,
        "python": platform.python_version(),
        "torch": str(torch.__version__),
        "load_average": {"at_start": _LOAD_AT_START, "at_end": os.getloadavg()},
    }


def save(name: str, command: str, results: dict[str, Any]) -> None:
    """Save a benchmark's results and print them.

    Args:
        name: Name of the benchmark and of its file.
        command: Command that runs the benchmark.
        results: The results, as a JSON object.
    """
    print(_write(RESULTS / f"{name}.json", _document(name, command, results)))


class ResultsByRound:
    """Saves a benchmark's results after every round, so that at most one round is lost when it is stopped.

    The file is called ``NAME.partial.json`` until the last round, so that an incomplete measurement does not overwrite
    an earlier complete one.
    """

    def __init__(self, name: str, command: str) -> None:
        """Measure the load of the machine, and warn if other processes would disturb the timings.

        Args:
            name: Name of the benchmark and of its file.
            command: Command that runs the benchmark.
        """
        self._name, self._command = name, command
        self._partial = RESULTS / f"{name}.partial.json"
        self._before = _others_busy_share()
        _warn(self._before, "before the first round")

    def save(self, results: dict[str, Any]) -> None:
        """Save the results of the rounds so far."""
        before = {"before": self._before, "after": None}
        _write(self._partial, _document(self._name, self._command, results, complete=False, others_busy_share=before))

    def finish(self, results: dict[str, Any]) -> None:
        """Save and print the results of all rounds."""
        after = _others_busy_share()
        _warn(after, "after the last round")
        shares = {"before": self._before, "after": after}
        document = _document(self._name, self._command, results, complete=True, others_busy_share=shares)
        print(_write(RESULTS / f"{self._name}.json", document))
        self._partial.unlink(missing_ok=True)


def _others_busy_share() -> float:
    """Return the share of the machine's cores that is busy while this process sleeps."""
    return float(psutil.cpu_percent(interval=LOOK_S) / 100)


def _warn(share: float, when: str) -> None:
    if share > BUSY:
        print_progress(f"warning: {when}, other processes used {share:.0%} of the cores; these timings are unreliable")


def _document(name: str, command: str, results: dict[str, Any], **facts: Any) -> dict[str, Any]:
    head = {"benchmark": name, "command": command, "date": time.strftime("%Y-%m-%d"), "machine": machine()}
    return {**head, **facts, "results": results}


def _write(path: Path, document: dict[str, Any]) -> str:
    path.parent.mkdir(exist_ok=True)
    text = json.dumps(document, indent=2)
    path.write_text(text + "\n")
    return text
