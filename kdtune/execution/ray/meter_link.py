"""How a process of Ray's reaches the meter of its node."""

import logging
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import ray

from kdtune.execution.meter_handle import MeterFailed, reachable
from kdtune.execution.ray.meter_actor import NAMESPACE, actor_name

#: Seconds for which a worker waits for the meter of its node; the driver looks for new nodes about once a second.
METER_WAIT_S = 20.0


class ActorLink:
    """A :class:`~kdtune.execution.meter_handle.MeterLink` to a meter that is a Ray actor."""

    def __init__(self, actor: Any) -> None:
        self._actor = actor

    def ask(self, method: str, *args: Any) -> Any:
        """Call a method of the meter and wait for its answer."""
        try:
            return ray.get(getattr(self._actor, method).remote(*args))
        except ray.exceptions.RayError as error:
            raise MeterFailed(error, is_lost=not isinstance(error, ray.exceptions.RayTaskError)) from None


def find_meter(session_id: str, *, wait_s: float = METER_WAIT_S) -> ActorLink | None:
    """This machine's meter, or None where there is none within so many seconds.

    Args:
        session_id: Of the session that meters.
        wait_s: The driver may be about to start the meter of a node that has just joined.
    """
    until_s = time.monotonic() + wait_s
    while True:
        try:
            return ActorLink(ray.get_actor(actor_name(session_id, os.uname().nodename), namespace=NAMESPACE))
        except ValueError:
            if time.monotonic() >= until_s:
                logging.getLogger(__name__).warning("%s has no energy meter", os.uname().nodename)
                return None
            time.sleep(METER_WAIT_S / 50)


@contextmanager
def meter_reached(session_id: str | None) -> Iterator[None]:
    """Let what runs inside find the meter of its machine by the session's id.

    Args:
        session_id: Of the session that meters; None where none does.
    """
    with reachable(session_id, find_meter(session_id) if session_id else None):
        yield
