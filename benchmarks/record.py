"""How results are kept: one JSON file a benchmark, with the machine, the versions and what else the machine did."""

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

#: Busy share of the cores above which timings say more of whatever else runs here than of what is timed.
BUSY = 0.1

#: Seconds for which the cores are watched.
LOOK_S = 2.0

_LOAD_AT_START = os.getloadavg()


def tell(text: str) -> None:
    """Say how far a benchmark has come, at once and not among its results."""
    print(text, file=sys.stderr, flush=True)


def machine() -> dict[str, Any]:
    """What the figures were measured on; load averages over 1, 5 and 15 minutes."""
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


def keep(name: str, command: str, results: dict[str, Any]) -> None:
    """Write a benchmark's results and print them."""
    print(_write(RESULTS / f"{name}.json", _document(name, command, results)))


class TurnByTurn:
    """Keeps a benchmark's results after every turn, so that stopping it loses at most one.

    They lie in ``NAME.partial.json`` until the last turn: what was measured in full before is not overwritten by half
    of it.
    """

    def __init__(self, name: str, command: str) -> None:
        """Look whether anything else is at work, which timings do not bear, and warn of it.

        Args:
            name: Of the benchmark, and of its file.
            command: By which it is run.
        """
        self._name, self._command = name, command
        self._partial = RESULTS / f"{name}.partial.json"
        self._before = _others_busy_share()
        _warn(self._before, "before the first turn")

    def keep(self, results: dict[str, Any]) -> None:
        """Write what is known so far."""
        before = {"before": self._before, "after": None}
        _write(self._partial, _document(self._name, self._command, results, complete=False, others_busy_share=before))

    def finish(self, results: dict[str, Any]) -> None:
        """Write and print what all turns came to."""
        after = _others_busy_share()
        _warn(after, "after the last turn")
        shares = {"before": self._before, "after": after}
        document = _document(self._name, self._command, results, complete=True, others_busy_share=shares)
        print(_write(RESULTS / f"{self._name}.json", document))
        self._partial.unlink(missing_ok=True)


def _others_busy_share() -> float:
    """Of the machine's cores, while this process rests."""
    return float(psutil.cpu_percent(interval=LOOK_S) / 100)


def _warn(share: float, when: str) -> None:
    if share > BUSY:
        tell(f"warning: {when} others kept {share:.0%} of the cores busy; these timings are not to be trusted")


def _document(name: str, command: str, results: dict[str, Any], **facts: Any) -> dict[str, Any]:
    head = {"benchmark": name, "command": command, "date": time.strftime("%Y-%m-%d"), "machine": machine()}
    return {**head, **facts, "results": results}


def _write(path: Path, document: dict[str, Any]) -> str:
    path.parent.mkdir(exist_ok=True)
    text = json.dumps(document, indent=2)
    path.write_text(text + "\n")
    return text
