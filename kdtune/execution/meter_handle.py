"""Access of trainings and jobs to the meter of their machine, with any executor."""

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Protocol

from kdtune.energy.ledger import Window
from kdtune.energy.sensors.node import boot_id


class MeterFailed(Exception):
    """A request to the meter failed.

    Attributes:
        cause: Exception to raise if the meter is required.
        is_lost: Whether the meter is gone, so that work continues without it.
    """

    def __init__(self, cause: BaseException, *, is_lost: bool) -> None:
        super().__init__(str(cause))
        self.cause = cause
        self.is_lost = is_lost


class MeterLink(Protocol):
    """A connection of this process to the meter of its machine."""

    def ask(self, method: str, *args: Any) -> Any:
        """Call a method of :class:`kdtune.execution.node_meter.NodeMeter`.

        Raises:
            MeterFailed: The meter raised an exception, or is lost.
        """


#: Connections of this process to meters, by session.
_links: dict[str, MeterLink | None] = {}


@contextmanager
def reachable(session_id: str | None, link: MeterLink | None) -> Iterator[None]:
    """Let :func:`meter_of` find a meter within the context.

    Args:
        session_id: Identifier of the metered session; None without metering.
        link: Connection to the meter; None if it was not found.
    """
    if session_id is None:
        yield
        return
    before = _links.get(session_id)
    _links[session_id] = link
    try:
        yield
    finally:
        if before is None:
            del _links[session_id]
        else:
            _links[session_id] = before


def meter_of(session_id: str | None) -> "MeterHandle":
    """Return the meter of a session on this machine; without a meter, a handle that does nothing."""
    return MeterHandle(_links.get(session_id) if session_id else None)


class MeterHandle:
    """Handle of the meter of this machine; does nothing if there is no meter.

    If the meter is missing or lost, work continues, and the ledger is flagged as incomplete.
    """

    def __init__(self, link: MeterLink | None, *, optional: bool = False) -> None:
        """Use a connection.

        Args:
            link: Connection to the meter; None without a meter.
            optional: Ignore failures of the meter, such as a full disk.
        """
        self._link = link
        self._optional = optional

    def join(self) -> None:
        """Count this process as part of the study; on an existing cluster it is not a child of the driver."""
        self._ask("join", os.getpid(), boot_id())

    def open(self, window: Window) -> None:
        """Open a window and return when it is in the ledger."""
        self._ask("open", window, boot_id())

    def close(self, window_id: str, reason: str) -> int | None:
        """Close a window and return its energy in microjoules, or None without a meter."""
        return self._ask("close", window_id, reason)

    def window_uj(self, window_id: str) -> int | None:
        """Return the energy of a window so far in microjoules, or None without a meter."""
        return self._ask("window_uj", window_id)

    def _ask(self, method: str, *args: Any) -> Any:
        if self._link is None:
            return None
        try:
            return self._link.ask(method, *args)
        except MeterFailed as failed:
            if not (failed.is_lost or self._optional):
                raise failed.cause from None
            logging.getLogger(__name__).warning("the energy meter failed: %s", str(failed).strip().splitlines()[-1])
            if failed.is_lost:
                self._link = None
            return None
