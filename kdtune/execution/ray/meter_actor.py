"""The node's meter as a Ray actor, pinned to its node, and how trials on that node reach it."""

import logging
import os
import time
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import ray

from kdtune.energy.ledger import Window
from kdtune.energy.meter import Meter
from kdtune.energy.meter_start import Start
from kdtune.energy.neighbours import Neighbourhood, shared_folder
from kdtune.energy.reading import Reading
from kdtune.energy.sampler import Sampler
from kdtune.energy.sensors.node import NodeSensors, boot_id
from kdtune.errors import KdtuneError
from kdtune.execution.ray.trial_actors import ActorsOfTrials
from kdtune.storage.files import cannot_be_written

#: Ray's namespace for kdtune's named actors; explicit, since trials of other pipelines have their own.
NAMESPACE = "kdtune"


#: A meter that dies is started again so often; a machine on which it dies more often has another fault.
MAX_RESTARTS = 100

#: Seconds for which a worker waits for the meter of its node; the driver looks for new nodes about once a second.
METER_WAIT_S = 20.0


@contextmanager
def _written() -> Iterator[None]:
    """Whoever asks a meter to count is told where that cannot be written.

    Raises:
        MachineError: The body met an ``OSError``.
    """
    try:
        yield
    except OSError as error:
        raise cannot_be_written(error, "the energy ledger") from None


class NodeMeter:
    """Runs a :class:`~kdtune.energy.meter.Meter` with a clock of its own, whatever the driver is doing.

    If its process is killed, Ray starts it again and repeats the calls under way; it goes on where it left off.
    """

    def __init__(self, session_id: str, *, trials_start_workers: bool = False, counts_gpus: bool = True) -> None:
        sensors = NodeSensors(None if counts_gpus else ())
        hardware = sensors.hardware()
        neighbourhood = neighbourhood_of(session_id)
        neighbourhood.join()
        find_started = ActorsOfTrials() if trials_start_workers else None
        self._meter = Meter(sensors, hardware, neighbourhood, state_of(session_id, hardware.node), find_started)
        self._meter.go_on()
        Sampler(self._meter)

    def begin(self, folder: str, since: Start | None, nodes: Sequence[str] = ()) -> None:
        """Start counting; see :meth:`Meter.begin`."""
        with _written():
            self._meter.begin(self._file(folder), since, nodes)

    def know(self, nodes: Sequence[str]) -> None:
        """Note that these machines are metered from now on: one has joined."""
        with _written():
            self._meter.know(nodes)

    def switch(self, folder: str | None, nodes: Sequence[str] = ()) -> None:
        """Go on in another folder, with these machines metered; None stops counting."""
        self._meter.nodes = tuple(nodes)
        with _written():
            self._meter.switch(self._file(folder) if folder else None)

    def go_to(self, folder: str, nodes: Sequence[str]) -> None:
        """Count into a folder, also where the meter goes on for one that was killed while it counted into another."""
        if self._meter.path != self._file(folder):
            self.switch(folder, nodes)

    def join(self, pid: int, boot: str) -> None:
        """Count a process as the study's.

        Args:
            pid: Its number.
            boot: Of the machine that it runs on.
        """
        self._check_machine(boot)
        self._meter.join(pid)

    def open(self, window: Window, boot: str) -> bool:
        """Open a window for a process of the machine with that boot; returns whether it is open now."""
        self._check_machine(boot)
        with _written():
            self._meter.open(window)
        return self._meter.window_uj(window.id) is not None

    def _check_machine(self, boot: str) -> None:
        if boot != boot_id():
            name = self._meter.hardware.node
            raise KdtuneError(
                f"two machines of the cluster are called {name!r}, so their energy cannot be told apart; give them "
                "names of their own"
            )

    def close(self, window_id: str, reason: str) -> int | None:
        """Close a window and return its energy in microjoules, None if it was never open."""
        with _written():
            self._meter.close(window_id, reason)
        return self._meter.window_uj(window_id)

    def window_uj(self, window_id: str) -> int | None:
        """Energy of a window so far, in microjoules; None if it was never open."""
        self.sample()
        return self._meter.window_uj(window_id)

    def reading(self) -> Reading:
        """Energy so far, as of the last sample."""
        return self._meter.reading()

    def sample(self) -> None:
        """Take a sample now."""
        with _written():
            self._meter.sample()

    def _file(self, folder: str) -> Path:
        return Path(folder) / f"{self._meter.hardware.node}.jsonl"


def state_of(session_id: str, node: str) -> Path:
    """Where a node's meter keeps what its successor needs."""
    return shared_folder() / f"{session_id}-{node}.state"


def neighbourhood_of(session_id: str) -> Neighbourhood:
    """The place among the meters of this node of a session's; its driver and its meter share it."""
    return Neighbourhood(f"{session_id}-{os.uname().nodename}")


def actor_name(session_id: str, host: str) -> str:
    """The name under which a machine's meter is found."""
    return f"meter-{session_id}-{host}"


def start_meters(
    session_id: str, metered: Container[str] = (), *, trials_start_workers: bool = False, counts_gpus: bool = True
) -> dict[str, Any]:
    """Start the meter of every machine in the cluster, or find those that run, by host name.

    Several of Ray's nodes on one machine have one: its counters are the machine's, and would be counted twice.

    Args:
        session_id: Of the session that is metered.
        metered: Host names that are left out, since they have a meter.
        trials_start_workers: Whether trials may start actors and tasks of their own.
        counts_gpus: Whether GPUs are part of what the nodes use.
    """
    here = ray.get_runtime_context().get_node_id()
    alive = [node for node in ray.nodes() if node["Alive"]]
    alive.sort(key=lambda node: node["NodeID"] != here)
    nodes: dict[str, str] = {}
    for node in alive:
        nodes.setdefault(node["NodeManagerHostname"], node["NodeID"])
    how = {"trials_start_workers": trials_start_workers, "counts_gpus": counts_gpus}
    left = {host: node_id for host, node_id in nodes.items() if host not in metered}
    return {host: _start_meter(session_id, host, node_id, how) for host, node_id in left.items()}


def begin_meters(meters: Mapping[str, Any], folder: Path, since: Start | None) -> list[Any]:
    """Let meters begin to count into a ledger folder; returns what to wait for.

    Args:
        meters: By host name.
        folder: Gets a file a machine.
        since: From when on this machine is counted, with this process; other machines are counted from now on.
    """
    here, nodes = os.uname().nodename, sorted(meters) if len(meters) > 1 else []
    return [meter.begin.remote(str(folder), since if host == here else None, nodes) for host, meter in meters.items()]


def _start_meter(session_id: str, host: str, node_id: str, how: Mapping[str, bool]) -> Any:
    """It takes no core from the trials."""
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    return (
        ray.remote(NodeMeter)
        .options(
            num_cpus=0,
            name=actor_name(session_id, host),
            namespace=NAMESPACE,
            get_if_exists=True,
            max_restarts=MAX_RESTARTS,
            max_task_retries=-1,
            scheduling_strategy=NodeAffinitySchedulingStrategy(node_id, soft=False),
        )
        .remote(session_id, **how)
    )


def end_meters(meters: Iterable[Any]) -> None:
    """End meters on a Ray that goes on; one that has died already has said what it had to say."""
    for meter in meters:
        try:
            try:
                ray.get(meter.switch.remote(None))
            finally:
                ray.kill(meter)
        except (ray.exceptions.RayError, ValueError):  # ValueError: the Ray that it ran on is gone
            logging.getLogger(__name__).warning("an energy meter did not end well", exc_info=True)


class MeterHandle:
    """The meter of the machine that this process runs on, or nothing where no session meters.

    Work goes on without a meter that is missing or lost; what it takes is missing in the ledger, and flagged there.
    """

    def __init__(self, session_id: str | None, *, optional: bool = False) -> None:
        """Find the meter, waiting for one that the driver is about to start on a node that has just joined.

        Args:
            session_id: Of the session that meters; None where none does.
            optional: Do not wait, and bear whatever the meter fails of, such as a full disk.
        """
        self._optional = optional
        self._actor = _find_meter(session_id, 0.0 if optional else METER_WAIT_S) if session_id else None

    def join(self) -> None:
        """Count this process as the study's: a cluster that ran before did not start it as the driver's child."""
        self._ask("join", os.getpid(), boot_id())

    def open(self, window: Window) -> None:
        """Open a window; returns when it is in the ledger."""
        self._ask("open", window, boot_id())

    def close(self, window_id: str, reason: str) -> int | None:
        """Close a window; its energy in microjoules, None where nothing meters."""
        return self._ask("close", window_id, reason)

    def window_uj(self, window_id: str) -> int | None:
        """Energy of a window so far in microjoules, None where nothing meters."""
        return self._ask("window_uj", window_id)

    def _ask(self, method: str, *args: Any) -> Any:
        if self._actor is None:
            return None
        try:
            return ray.get(getattr(self._actor, method).remote(*args))
        except ray.exceptions.RayError as error:
            raised_by_meter = isinstance(error, ray.exceptions.RayTaskError)
            if raised_by_meter and not self._optional:
                raise
            logging.getLogger(__name__).warning("the energy meter failed: %s", str(error).strip().splitlines()[-1])
            if not raised_by_meter:
                self._actor = None
            return None


def _find_meter(session_id: str, wait_s: float) -> Any:
    """This machine's meter, or None where there is none within so many seconds."""
    until_s = time.monotonic() + wait_s
    while True:
        try:
            return ray.get_actor(actor_name(session_id, os.uname().nodename), namespace=NAMESPACE)
        except ValueError:
            if time.monotonic() >= until_s:
                logging.getLogger(__name__).warning("%s has no energy meter", os.uname().nodename)
                return None
            time.sleep(METER_WAIT_S / 50)
