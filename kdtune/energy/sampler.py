"""A clock for a meter: samples it about once a second, whatever else the process does."""

import logging
import threading

from kdtune.energy.meter import INTERVAL_S, Meter


class Sampler:
    """Samples a meter in a thread of its own, from its making until :meth:`stop` or the end of the process."""

    def __init__(self, meter: Meter) -> None:
        self._meter = meter
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._tick, daemon=True, name="kdtune-meter")
        self._thread.start()

    def stop(self) -> None:
        """Take no more samples; one that is being taken is finished."""
        self._stopped.set()
        self._thread.join()

    def _tick(self) -> None:
        while not self._stopped.wait(INTERVAL_S):
            try:
                self._meter.sample()
            except Exception:
                # A full disk or a sensor that fails for a moment: the counters are absolute, so the next sample
                # that succeeds charges the time in between.
                logging.getLogger(__name__).warning("an energy sample failed", exc_info=True)
