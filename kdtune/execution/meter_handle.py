"""How trainings and jobs reach the meter of their machine, whichever executor runs them."""

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Protocol

from kdtune.energy.ledger import Window
from kdtune.energy.sensors.node import boot_id


class MeterFailed(Exception):
    """The meter could not do what it was asked.

    Attributes:
        cause: What whoever needs the meter is to raise.
        is_lost: Whether the meter is gone, so that work goes on without it.
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


#: The meters that this process can reach, by session.
_links: dict[str, MeterLink | None] = {}


@contextmanager
def reachable(session_id: str | None, link: MeterLink | None) -> Iterator[None]:
    """Let :func:`meter_of` find a meter inside.

    Args:
        session_id: Of the session that meters; None where none does.
        link: To the meter; None where it could not be found.
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
    """The meter of a session on this machine; a handle that does nothing where none meters or it is out of reach."""
    return MeterHandle(_links.get(session_id) if session_id else None)


class MeterHandle:
    """The meter of the machine that this process runs on, or nothing where no session meters.

    Work goes on without a meter that is missing or lost; what it takes is missing in the ledger, and flagged there.
    """

    def __init__(self, link: MeterLink | None, *, optional: bool = False) -> None:
        """Use a connection.

        Args:
            link: To the meter; None where there is none.
            optional: Ignore whatever the meter fails of, such as a full disk.
        """
        self._link = link
        self._optional = optional

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
