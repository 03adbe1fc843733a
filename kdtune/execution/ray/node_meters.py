"""A session's meters on the nodes of its cluster: a node may join while they run, and one may die with its meter."""

import logging
import os
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import ray

from kdtune.energy.meter_start import MeterStart
from kdtune.energy.reading import Reading
from kdtune.errors import MachineError
from kdtune.execution.ray.dispatch import last_line
from kdtune.execution.ray.meter_actor import begin_meters, end_meters, start_meters

_log = logging.getLogger(__name__)


class NodeMeters:
    """The meters by host name. Losing one loses that node's figures and nothing else; its ledger has no end then."""

    def __init__(self, session_id: str, *, trials_start_workers: bool = False) -> None:
        """Nothing is started yet.

        Args:
            session_id: Of the session that is metered.
            trials_start_workers: Whether trials may start actors and tasks of their own.
        """
        self._session_id = session_id
        self._trials_start_workers = trials_start_workers
        self._actors: dict[str, Any] = {}
        self._pending: list[tuple[str, Any]] = []
        self._folder: Path | None = None
        #: By host and by when its meter began: a meter that is lost leaves what it had counted.
        self._readings: dict[tuple[str, int], Reading] = {}
        self._counts_gpus = True

    def __bool__(self) -> bool:
        return bool(self._actors)

    def start(self, *, counts_gpus: bool = True) -> None:
        """Start a meter on every node.

        Args:
            counts_gpus: Whether GPUs are part of what the nodes use; not for a study that runs on CPUs alone.
        """
        self._counts_gpus = counts_gpus
        self._actors = self._started()

    def _started(self) -> dict[str, Any]:
        """Meters of the nodes that have none."""
        return start_meters(
            self._session_id,
            self._actors,
            trials_start_workers=self._trials_start_workers,
            counts_gpus=self._counts_gpus,
        )

    def begin(self, folder: Path, since: MeterStart | None) -> None:
        """Let all meters begin to count, without waiting; see :func:`.meter_actor.begin_meters`."""
        self._folder = folder
        calls = begin_meters(self._actors, folder, since)
        self._pending += zip(self._actors, calls, strict=True)

    def switch(self, folder: Path) -> None:
        """Let all go on in another ledger folder, without waiting for it."""
        self._folder = folder
        self._pending += self._called("switch", str(folder), self._names)

    def settle(self) -> None:
        """Wait until all count as they were told to."""
        pending, self._pending = self._pending, []
        self._answers(pending)

    def meter_new_nodes(self) -> None:
        """Start a meter on each node that has joined since the last call; it counts from now on."""
        if self._folder is None:
            return
        try:
            joined = self._started()
            if not joined:
                return
            names = sorted({*self._actors, *joined})
            # The ledger of a machine that does not share the folder would not be missed otherwise.
            pending = self._called("know", names)
            for host, meter in joined.items():
                pending.append((host, meter.begin.remote(str(self._folder), None, names)))
                pending.append((host, meter.go_to.remote(str(self._folder), names)))
        except (ray.exceptions.RayError, ValueError):  # ValueError: a meter of that name has just died
            _log.warning("a node that joined has no energy meter yet", exc_info=True)
            return
        self._actors |= joined
        self._pending += pending

    @property
    def _names(self) -> list[str]:
        """The machines that are metered, where there are several."""
        return sorted(self._actors) if len(self._actors) > 1 else []

    def ask(self, method: str, *args: Any) -> list[Any]:
        """Call a method of every meter, and wait for the answers of those that are alive."""
        return list(self._answers(self._called(method, *args)).values())

    def ask_one(self, host: str, method: str, *args: Any) -> Any:
        """Call a method of one node's meter, and wait; None where that node has no meter."""
        calls = [(host, getattr(self._actors[host], method).remote(*args))] if host in self._actors else []
        return self._answers(calls).get(host)

    def reading(self) -> Reading:
        """Energy so far, of all nodes together; what a lost meter had counted stays in the sum."""
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
        """End the ledgers of other machines, and take a sample here, where the counters outlive Ray."""
        here = os.uname().nodename
        calls = [
            (host, meter.sample.remote() if host == here else meter.switch.remote(None))
            for host, meter in self._actors.items()
        ]
        self._answers(calls)

    def end(self) -> None:
        """End all, on a Ray that goes on."""
        meters, self._actors, self._pending, self._folder = list(self._actors.values()), {}, [], None
        end_meters(meters)

    def _called(self, method: str, *args: Any) -> list[tuple[str, Any]]:
        return [(host, getattr(meter, method).remote(*args)) for host, meter in self._actors.items()]

    def _answers(self, calls: Iterable[tuple[str, Any]]) -> dict[str, Any]:
        """What the meters answered, by host. A meter of another machine that is lost or fails is given up.

        Raises:
            RayTaskError: The meter of this machine raised an exception, or the request to another one was wrong.
            RayError: The meter of this machine is lost: Ray itself is dead.
        """
        answers = {}
        for host, call in calls:
            try:
                answers[host] = ray.get(call)
            except ray.exceptions.RayError as error:
                # Such as a disk that is full there: accounting never ends a study, and the ledger has no end then.
                failed_there = not isinstance(error, ray.exceptions.RayTaskError) or isinstance(
                    error.cause, MachineError
                )
                if host == os.uname().nodename or not failed_there:
                    raise
                self._actors.pop(host, None)
                _log.warning("%s: the energy meter is lost, and what it had not recorded (%s)", host, last_line(error))
        return answers
