"""A session's meters on the nodes of its cluster: a node may join while they run, and one may die with its meter."""

import logging
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import ray

from kdtune.energy.meter import Reading
from kdtune.energy.processes import Identity
from kdtune.energy.sensors import Counters
from kdtune.tuning.meter_actor import begin_meters, end_meters, start_meters

_log = logging.getLogger(__name__)


class NodeMeters:
    """The meters by host name. Losing one loses that node's figures and nothing else; its ledger has no end then."""

    def __init__(self, session_id: str) -> None:
        """Nothing is started yet."""
        self._session_id = session_id
        self._actors: dict[str, Any] = {}
        self._pending: list[tuple[str, Any]] = []
        self._folder: Path | None = None
        self._readings: dict[str, Reading] = {}
        self._counts_gpus = True

    def __bool__(self) -> bool:
        return bool(self._actors)

    def start(self, *, counts_gpus: bool = True) -> None:
        """Start a meter on every node.

        Args:
            counts_gpus: Whether GPUs are part of what the nodes use; not for a study that runs on CPUs alone.
        """
        self._counts_gpus = counts_gpus
        self._actors = start_meters(self._session_id, counts_gpus=counts_gpus)

    def begin(self, folder: Path, driver: Identity, since: Counters | None, spent_us: int) -> None:
        """Let all begin to count, without waiting for it; see :func:`~kdtune.tuning.meter_actor.begin_meters`."""
        self._folder = folder
        calls = begin_meters(self._actors, folder, driver, since, spent_us)
        self._pending += zip(self._actors, calls, strict=True)

    def switch(self, folder: Path) -> None:
        """Let all go on in another ledger folder, without waiting for it."""
        self._folder = folder
        self._pending += self._called("switch", str(folder))

    def settle(self) -> None:
        """Wait until all count as they were told to."""
        pending, self._pending = self._pending, []
        self._answers(pending)

    def meter_new_nodes(self) -> None:
        """Start a meter on each node that has joined since the last call; it counts from now on."""
        if self._folder is None:
            return
        try:
            joined = start_meters(self._session_id, self._actors, counts_gpus=self._counts_gpus)
            self._actors |= joined
            calls = [meter.begin.remote(str(self._folder), [], None, 0) for meter in joined.values()]
        except (ray.exceptions.RayError, ValueError):  # ValueError: a meter of that name has just died
            _log.warning("a node that joined has no energy meter yet", exc_info=True)
            return
        self._pending += zip(joined, calls, strict=True)

    def ask(self, method: str, *args: Any) -> list[Any]:
        """Call a method of every meter, and wait for the answers of those that are alive."""
        return list(self._answers(self._called(method, *args)).values())

    def ask_one(self, host: str, method: str, *args: Any) -> Any:
        """Call a method of one node's meter, and wait; None where that node has no meter."""
        calls = [(host, getattr(self._actors[host], method).remote(*args))] if host in self._actors else []
        return self._answers(calls).get(host)

    def reading(self) -> Reading:
        """Energy so far, of all nodes together; what a lost meter had counted stays in the sum."""
        lost = {host: Reading({}, 0, one.spent) for host, one in self._readings.items()}
        self._readings = lost | self._answers(self._called("reading"))
        total = Reading({}, 0, {})
        for one in self._readings.values():
            spent = {bucket: uj + total.spent.get(bucket, 0) for bucket, uj in one.spent.items()}
            total = Reading(total.windows | one.windows, total.charged_uj + one.charged_uj, spent)
        return total

    def end(self) -> None:
        """End all, on a Ray that goes on."""
        meters, self._actors, self._pending, self._folder = list(self._actors.values()), {}, [], None
        end_meters(meters)

    def _called(self, method: str, *args: Any) -> list[tuple[str, Any]]:
        return [(host, getattr(meter, method).remote(*args)) for host, meter in self._actors.items()]

    def _answers(self, calls: Iterable[tuple[str, Any]]) -> dict[str, Any]:
        """What the meters answered, by host.

        Raises:
            RayTaskError: A meter raised an exception.
            RayError: The meter of this machine is lost: Ray itself is dead.
        """
        answers = {}
        for host, call in calls:
            try:
                answers[host] = ray.get(call)
            except ray.exceptions.RayTaskError:
                raise
            except ray.exceptions.RayError as error:
                if host == os.uname().nodename:
                    raise
                self._actors.pop(host, None)
                words = str(error).splitlines()[0]
                _log.warning("%s: the energy meter is lost, and what it had not recorded (%s)", host, words)
        return answers
