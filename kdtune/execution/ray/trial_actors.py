"""Finds the actors that trials started in Ray's table of actors; runs in the process of a node's meter."""

import logging
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import ray

from kdtune.energy.nested_workers import NestedWorkers
from kdtune.energy.processes import Identity, Process

#: Names of Ray's processes that work for no trial, as Linux truncates them: idle workers and Ray's agents.
_OF_RAY = ("ray::IDLE", "ray::DashboardA", "ray::RuntimeEnv")

#: States of actors that have no process, or no process after a restart.
_COMING = ("DEPENDENCIES_UNREADY", "PENDING_CREATION", "RESTARTING")

Address = tuple[str, int]


class ActorsOfTrials:
    """Finds the actors of this node that trials started, directly or through other actors.

    Ray's tables do not name the process of a task, so processes of tasks are unknown.
    """

    def __init__(self) -> None:
        self._driver: Address | None = None
        self._settled: set[Identity] = set()
        self._seen: set[Identity] = set()
        self._actors: set[Identity] = set()
        self._classes: set[str] = set()

    def __call__(self, processes: Mapping[int, Process], windows: Mapping[int, str]) -> NestedWorkers:
        """Assign the workers that are not assigned yet.

        Args:
            processes: All processes of the machine.
            windows: Identifier of each window by the PID of its process.
        """
        self._actors |= {processes[pid].identity for pid in windows if pid in processes}
        workers = {
            pid: process.identity
            for pid, process in processes.items()
            if process.name.startswith("ray::") and not process.name.startswith(_OF_RAY)
            if pid not in windows and process.alive and process.identity not in self._settled
        }
        if not workers:
            return NestedWorkers()
        try:
            return self._sort(workers, windows, {pid: process.parent for pid, process in processes.items()})
        except Exception:  # the table is not part of Ray's public interface
            logging.getLogger(__name__).warning("Ray's table of actors cannot be read", exc_info=True)
            return NestedWorkers(unknown=list(workers.values()))

    def _sort(
        self, workers: Mapping[int, Identity], windows: Mapping[int, str], parents: Mapping[int, int]
    ) -> NestedWorkers:
        job = ray.get_runtime_context().get_job_id()
        everybodys = _actors("ALIVE")
        actors = [actor for actor in everybodys if actor["JobID"] == job]
        by_address = {_address(actor["Address"]): actor for actor in actors}
        nodes = {n["NodeID"] for n in ray.nodes() if n["NodeManagerHostname"] == os.uname().nodename}
        here = {actor["Pid"]: actor for actor in actors if actor["Address"]["NodeID"] in nodes}
        if self._driver is None:
            if os.getpid() not in here:
                return NestedWorkers()  # this meter is still starting; the next sample assigns the workers
            self._driver = _address(here[os.getpid()]["OwnerAddress"])  # the driver started this meter
        by_window: dict[Identity, str] = {}
        by_study: list[Identity] = []
        unknown: list[Identity] = []
        of_other_jobs = {actor["Pid"] for actor in everybodys if actor["JobID"] != job}
        # A worker without an actor belongs to another Ray, unless a daemon of this Ray started it.
        daemons = {os.getppid(), *(parents[pid] for pid in here if pid in parents)}
        others = {pid for pid in workers.keys() - here.keys() - of_other_jobs if parents[pid] in daemons}
        # An actor that is ending, or that failed during its creation, is not in the table.
        others -= {pid for pid in others if workers[pid] in self._actors or self._is_of_a_class(_title(pid))}
        if others:
            # An actor may have started in the meantime, and one of an earlier experiment may still be ending.
            others -= {actor["Pid"] for state in ("ALIVE", "DEAD") for actor in _actors(state)}
        if new := {pid for pid in others if workers[pid] not in self._seen}:
            self._seen |= {workers[pid] for pid in new}
            if any(_actors(state) for state in _COMING):  # Ray may not have recorded the process of an actor yet
                others -= new
        for pid, identity in workers.items():
            actor = here.get(pid)
            if actor is None:
                if pid in others:
                    unknown.append(identity)
            elif _address(actor["OwnerAddress"]) == self._driver:
                self._settled.add(identity)  # a trial, a meter, or another actor that the driver started
            else:
                self._actors.add(identity)
                by_study.append(identity)
                trial = self._trial_of(actor, by_address)
                if trial is None or trial["Address"]["NodeID"] not in nodes:
                    unknown.append(identity)
                elif trial["Pid"] in windows:  # otherwise the trial is only being set up, which is not charged to it
                    by_window[identity] = windows[trial["Pid"]]
        return NestedWorkers(by_window, by_study, unknown)

    def _is_of_a_class(self, title: str) -> bool:
        """Return whether the title of a worker names an actor: a class that some worker created, or its method."""
        name, _, method = title.removeprefix("ray::").rpartition(".")
        if method == "__init__":
            self._classes.add(name)
        return name in self._classes or method in self._classes

    def _trial_of(self, actor: Any, by_address: Mapping[Address, Any]) -> Any:
        """Return the driver's actor at the end of the chain of owners; None if a task is part of the chain."""
        for _ in by_address:  # the chain has no more links than there are actors
            if _address(actor["OwnerAddress"]) == self._driver:
                return actor
            actor = by_address.get(_address(actor["OwnerAddress"]))
            if actor is None:
                return None
        return None


def _actors(state: str) -> list[dict[str, Any]]:
    """Return the actors of all jobs that are in a state."""
    from ray._private.state import actors

    return list(actors(actor_state_name=state).values())


def _title(pid: int) -> str:
    """Return the title that describes a worker's current work; empty for a process that has ended."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().rstrip(b"\0 ").decode(errors="replace")
    except OSError:
        return ""


def _address(address: Mapping[str, Any]) -> Address:
    return address["IPAddress"], address["Port"]
