"""Connection of a Ray worker to the meter of its node."""

import logging
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import ray

from kdtune.execution.meter_handle import MeterFailed, reachable
from kdtune.execution.ray.meter_actor import NAMESPACE, actor_name

#: Seconds for which a worker waits for the meter of its node; the driver checks for new nodes about once a second.
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
    """Return a connection to the meter of this machine, or None if there is no meter.

    Args:
        session_id: Identifier of the metered session.
        wait_s: Seconds to wait, since the driver may be about to start the meter of a node that has just joined.
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
    """Make the meter of this machine available within the context.

    Args:
        session_id: Identifier of the metered session; None without metering.
    """
    with reachable(session_id, find_meter(session_id) if session_id else None):
        yield
