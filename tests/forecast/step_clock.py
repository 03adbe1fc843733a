"""A simulated clock for the timing of work."""

from functools import partial
from types import SimpleNamespace

from kdtune.forecast import step_timing, stopwatch


class StepClock:
    """A clock that only advances with units of work: by ten milliseconds each, whatever else the machine does."""

    def __init__(self, monkeypatch) -> None:
        self.units = 0
        for kind in ("_steps", "_evaluations"):
            monkeypatch.setattr(step_timing, kind, partial(self._counted, getattr(step_timing, kind)))
        clock = SimpleNamespace(perf_counter=self.now_s, process_time=self.now_s)
        for module in (step_timing, stopwatch):
            monkeypatch.setattr(module, "time", clock)

    def now_s(self) -> float:
        return self.units / 100

    def _counted(self, units, *given):
        for images in units(*given):
            self.units += 1
            yield images
