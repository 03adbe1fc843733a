"""A thread that makes a meter take a sample about once a second, whatever else the process does."""

import logging
import threading

from kdtune.energy.meter import INTERVAL_S, Meter

_log = logging.getLogger(__name__)


class Sampler:
    """A daemon thread that samples a meter until :meth:`stop` is called or the process ends."""

    def __init__(self, meter: Meter) -> None:
        self._meter = meter
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._tick, daemon=True, name="kdtune-meter")
        self._thread.start()

    def stop(self) -> None:
        """End the thread. A sample that is being taken is finished first."""
        self._stopped.set()
        self._thread.join()

    def _tick(self) -> None:
        failed = False
        while not self._stopped.wait(INTERVAL_S):
            try:
                self._meter.sample()
                failed = False
            except Exception as error:
                # The disk may be full, or a sensor may fail for a moment. Since the counters are absolute, the next
                # successful sample covers the time between.
                if not failed:
                    _log.warning("an energy sample failed (%s: %s)", type(error).__name__, error)
                    _log.debug("the failed energy sample", exc_info=True)
                failed = True
