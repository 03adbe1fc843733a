"""Meters of a session on the nodes of its cluster, where nodes may join and die with their meters."""

import logging
import os
import time
from collections import Counter
from collections.abc import Callable, Container, Iterable
from pathlib import Path
from typing import Any

import ray

from kdtune.energy.meter_start import MeterStart
from kdtune.energy.reading import Reading
from kdtune.errors import MachineError
from kdtune.execution.ray.carried_ledgers import CarriedLedgers
from kdtune.execution.ray.dispatch import last_line
from kdtune.execution.ray.meter_actor import begin_meters, end_meters, start_meters
from kdtune.execution.shared_folders import SharedFolders, not_shared

_log = logging.getLogger(__name__)

#: Seconds between two copies of new ledger lines of other machines; a machine that dies loses at most those lines.
COPY_S = 1.0


class NodeMeters:
    """The meters of a session by host name. If one is lost, only the ledger of its node is incomplete.

    Only the machine of the driver writes to the ledger folders. The ledgers of other machines travel through Ray, so
    their energy is counted whether or not they share a folder with the driver.
    """

    def __init__(
        self, session_id: str, *, trials_start_workers: bool = False, tell: Callable[[str], object] = _log.warning
    ) -> None:
        """Prepare without starting anything.

        Args:
            session_id: Identifier of the metered session.
            trials_start_workers: Whether trials may start actors and tasks.
            tell: Receives a message about each lost meter.
        """
        self._tell = tell
        self._carried = CarriedLedgers()
        self._copied_at_s = 0.0
        self._shared: SharedFolders | None = None
        self._looks: list[tuple[str, Any]] = []
        self._session_id = session_id
        self._trials_start_workers = trials_start_workers
        self._actors: dict[str, Any] = {}
        self._pending: list[tuple[str, Any]] = []
        self._folder: Path | None = None
        #: Readings by host and start of its meter, so that the count of a lost meter is kept.
        self._readings: dict[tuple[str, int], Reading] = {}
        self._counts_gpus = True

    def __bool__(self) -> bool:
        return bool(self._actors)

    def start(self, *, counts_gpus: bool = True, shared: SharedFolders | None = None) -> None:
        """Start a meter on every node.

        Args:
            counts_gpus: Whether the energy of GPUs is counted; false for a study that uses only CPUs.
            shared: Folders that every node has to share with the driver, already marked; None if none are needed.
        """
        self._counts_gpus, self._shared = counts_gpus, shared
        self._actors = self._started()

    def _started(self) -> dict[str, Any]:
        """Start meters on nodes without one, and return them."""
        started = start_meters(
            self._session_id,
            self._actors,
            trials_start_workers=self._trials_start_workers,
            counts_gpus=self._counts_gpus,
        )
        if self._shared:
            looks = [(host, meter.missing_folders.remote(self._shared)) for host, meter in started.items()]
            self._looks = _without(started, self._looks) + looks
        return started

    def begin(self, folder: Path, since: MeterStart | None) -> None:
        """Make all meters begin to count, without waiting for them; see :func:`.meter_actor.begin_meters`."""
        self._folder = folder
        self._carried.begin(self._others, folder)
        calls = begin_meters(self._actors, folder, since)
        self._pending += zip(self._actors, calls, strict=True)

    def switch(self, folder: Path) -> None:
        """Make all meters continue in another ledger folder, without waiting for them."""
        self._folder = folder
        self._carried.begin(self._others, folder)
        self._pending += self._called("switch", str(folder), self._names)

    def settle(self) -> None:
        """Wait until all earlier requests have taken effect; ledgers that they ended are then copied completely.

        Raises:
            MachineError: A machine does not share the folders that it has to share.
        """
        pending, self._pending = self._pending, []
        self._answers(pending)
        looks, self._looks = self._looks, []
        if faults := {host: found for host, found in self._answers(looks).items() if found}:
            raise MachineError(not_shared(faults))
        if pending:  # otherwise there is no new ledger and no new machine, and a trial need not wait for the lines
            self._carried.copy_all(self._actors, self._folder, self._answers)

    def keep_up(self) -> None:
        """Meter nodes that have joined, and copy new ledger lines of other machines, at most once a second."""
        if time.monotonic() - self._copied_at_s >= COPY_S:
            self._copied_at_s = time.monotonic()
            self.meter_new_nodes()
            self._carried.copy_ready(self._actors, self._answers)

    def meter_new_nodes(self) -> None:
        """Start a meter on each node that has joined since the last call."""
        if self._folder is None:
            return
        try:
            joined = self._started()
            if not joined:
                return
            names = sorted({*self._actors, *joined})
            # With the names, a missing ledger of a machine that does not share the folder is noticed.
            pending = self._called("know", names)
            for host, meter in joined.items():
                pending.append((host, meter.begin.remote(str(self._folder), None, names)))
                pending.append((host, meter.go_to.remote(str(self._folder), names)))
        except (ray.exceptions.RayError, ValueError):  # ValueError: a meter with this name has just died
            _log.warning("a node that joined has no energy meter yet", exc_info=True)
            return
        self._pending = _without(joined, self._pending) + pending
        self._actors |= joined
        self._carried.begin(self._others, self._folder)
        for host in joined:
            self._carried.begin_again(host)

    @property
    def _others(self) -> list[str]:
        """Names of the metered machines other than this one."""
        return [host for host in self._actors if host != os.uname().nodename]

    @property
    def _names(self) -> list[str]:
        """Names of the metered machines if there are several."""
        return sorted(self._actors) if len(self._actors) > 1 else []

    def ask(self, method: str, *args: Any) -> list[Any]:
        """Call a method of every meter, and return the answers of the living meters."""
        return list(self._answers(self._called(method, *args)).values())

    def ask_one(self, host: str, method: str, *args: Any) -> Any:
        """Call a method of one node's meter and return its answer, or None without a meter on that node."""
        calls = [(host, getattr(self._actors[host], method).remote(*args))] if host in self._actors else []
        return self._answers(calls).get(host)

    def reading(self) -> Reading:
        """Return the energy of all nodes so far, including the counts of lost meters."""
        lost = {key: Reading({}, {}, one.spent) for key, one in self._readings.items()}
        live = self._answers(self._called("reading"))
        self._readings = lost | {(host, one.began_ns): one for host, one in live.items()}
        windows: dict[str, int] = {}
        buckets, spent = Counter[str](), Counter[str]()
        for one in self._readings.values():
            windows |= one.windows
            buckets.update(one.buckets)
            spent.update(one.spent)
        return Reading(windows, dict(buckets), dict(spent))

    def leave(self) -> None:
        """End the ledgers of other machines, and take a sample on this one, where the counters outlive Ray."""
        here = os.uname().nodename
        calls = [
            (host, meter.sample.remote() if host == here else meter.switch.remote(None))
            for host, meter in self._actors.items()
        ]
        self._answers(calls)
        self._carried.copy_all(self._actors, None, self._answers)
        self._answers([(host, self._actors[host].forget_ledgers.remote()) for host in self._others])

    def end(self) -> None:
        """End all meters on a Ray that keeps running."""
        meters, self._actors, self._pending, self._folder = self._actors, {}, [], None
        end_meters(meters, self._carried.finish)

    def _called(self, method: str, *args: Any) -> list[tuple[str, Any]]:
        return [(host, getattr(meter, method).remote(*args)) for host, meter in self._actors.items()]

    def _answers(self, calls: Iterable[tuple[str, Any]]) -> dict[str, Any]:
        """Return the answers of the meters by host, and drop a meter of another machine that is lost or fails.

        Raises:
            RayTaskError: The meter of this machine raised an exception, or the request to another one was wrong.
            RayError: The meter of this machine is lost: Ray itself is dead.
        """
        answers = {}
        for host, call in calls:
            try:
                answers[host] = ray.get(call)
            except ray.exceptions.RayError as error:
                # For example with a full disk there; accounting never ends a study, and the ledger remains incomplete.
                failed_there = not isinstance(error, ray.exceptions.RayTaskError) or isinstance(
                    error.cause, MachineError | OSError
                )
                if host == os.uname().nodename or not failed_there:
                    raise
                if self._actors.pop(host, None) is None:
                    continue  # an earlier request has shown it
                self._tell(
                    f"{host}: the energy meter is lost, with the energy that it had not reported ({last_line(error)}); "
                    "the result is flagged"
                )
        return answers


def _without(replaced: Container[str], calls: Iterable[tuple[str, Any]]) -> list[tuple[str, Any]]:
    """Leave out requests to earlier meters of machines; their failures say nothing about the meters there now."""
    return [(host, call) for host, call in calls if host not in replaced]
