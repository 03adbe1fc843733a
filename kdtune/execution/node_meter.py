"""Meter of a node that samples periodically; used by all executors."""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from kdtune.energy.ledger import Window
from kdtune.energy.meter import Meter, Reading
from kdtune.energy.meter_start import MeterStart
from kdtune.energy.neighbours import MeterRegistry, shared_folder
from kdtune.energy.nested_workers import FindNestedWorkers
from kdtune.energy.sampler import Sampler
from kdtune.energy.sensors.node import NodeSensors, boot_id
from kdtune.errors import KdtuneError
from kdtune.execution.ledger_outbox import LedgerOutbox
from kdtune.storage.files import cannot_be_written


@contextmanager
def _written() -> Iterator[None]:
    """Convert an ``OSError`` of the body into a clear message.

    Raises:
        MachineError: The ledger cannot be written.
    """
    try:
        yield
    except OSError as error:
        raise cannot_be_written(error, "the energy ledger") from None


class NodeMeter:
    """Runs a :class:`~kdtune.energy.meter.Meter` that samples periodically, independently of the driver."""

    def __init__(
        self,
        sensors: NodeSensors,
        registry: MeterRegistry,
        state: Path | None = None,
        find_nested: FindNestedWorkers | None = None,
        outbox: LedgerOutbox | None = None,
    ) -> None:
        """Prepare a meter, or continue for one that was killed.

        Args:
            sensors: Sensors of this node.
            registry: Entry of the meter among those of the node; already registered.
            state: File with the state that a successor needs if this process is killed; None without a successor.
            find_nested: Finds the workers that trials started; None if they start none.
            outbox: Keeps the ledger files for the driver; None if this machine writes to the ledger folder itself.
        """
        self._outbox = outbox
        self._meter = Meter(sensors, sensors.hardware(), registry, state, find_nested)
        self._meter.resume()
        self._sampler = Sampler(self._meter)

    def begin(self, folder: str, since: MeterStart | None, nodes: Sequence[str] = ()) -> None:
        """Start counting; see :meth:`Meter.begin`."""
        with _written():
            self._meter.begin(self._file(folder), since, nodes)

    def know(self, nodes: Sequence[str]) -> None:
        """Record the metered machines after one has joined."""
        with _written():
            self._meter.set_nodes(nodes)

    def switch(self, folder: str | None, nodes: Sequence[str] = ()) -> None:
        """Continue in another folder, with these machines metered; None stops counting."""
        self._meter.nodes = tuple(nodes)
        with _written():
            self._meter.switch(self._file(folder) if folder else None)

    def go_to(self, folder: str, nodes: Sequence[str]) -> None:
        """Count into a folder, even if a predecessor of this meter was killed while it counted into another one."""
        if self._meter.path != self._file(folder):
            self.switch(folder, nodes)

    def join(self, pid: int, boot: str) -> None:
        """Count a process as part of the study.

        Args:
            pid: Process ID.
            boot: Boot ID of the machine on which it runs.
        """
        self._check_machine(boot)
        self._meter.join(pid)

    def open(self, window: Window, boot: str) -> bool:
        """Open a window for a process of the machine with this boot ID, and return whether it is open."""
        self._check_machine(boot)
        with _written():
            self._meter.open(window)
        return self._meter.window_uj(window.id) is not None

    def _check_machine(self, boot: str) -> None:
        if boot != boot_id():
            name = self._meter.hardware.node
            raise KdtuneError(
                f"two machines of the cluster have the name {name!r}, so their energy cannot be told apart; give "
                "them different names"
            )

    def close(self, window_id: str, reason: str) -> int | None:
        """Close a window and return its energy in microjoules, None if it was never open."""
        with _written():
            self._meter.close(window_id, reason)
        return self._meter.window_uj(window_id)

    def window_uj(self, window_id: str) -> int | None:
        """Return the energy of a window so far in microjoules, or None if it was never open."""
        self.sample()
        return self._meter.window_uj(window_id)

    def reading(self) -> Reading:
        """Return the energy up to the last sample."""
        return self._meter.reading()

    def sample(self) -> None:
        """Take a sample now."""
        with _written():
            self._meter.sample()

    def ledger_lines(self, folder: str, offset: int) -> bytes:
        """Return the lines of a ledger that the driver has not copied yet; empty without an outbox.

        Args:
            folder: The ledger folder of the driver.
            offset: Number of bytes that the driver has already.
        """
        return self._outbox.lines_since(folder, self._meter.hardware.node, offset) if self._outbox else b""

    def forget_ledgers(self) -> None:
        """Remove the files of the outbox, because the driver has copied all of them."""
        if self._outbox:
            self._outbox.remove()

    def stop_sampling(self) -> None:
        """Stop periodic samples."""
        self._sampler.stop()

    def _file(self, folder: str) -> Path:
        if self._outbox:
            return self._outbox.file(folder, self._meter.hardware.node)
        return Path(folder) / f"{self._meter.hardware.node}.jsonl"


def state_of(session_id: str, node: str) -> Path:
    """Return the file in which a node's meter stores the state for its successor."""
    return shared_folder() / f"{session_id}-{node}.state"


def registry_of(session_id: str) -> MeterRegistry:
    """Return the entry of a session among the meters of this node; driver and meter share it."""
    return MeterRegistry(f"{session_id}-{os.uname().nodename}")
