"""Callbacks through which Ray Tune reports the progress of trials to a study.

Tune pickles its callbacks regularly; the events behind them have open files and are left out.
"""

import re
import time
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any

from ray import tune

from kdtune.errors import KdtuneError, MachineError, RayError
from kdtune.execution.ray.release_trial_memory import release_memory
from kdtune.execution.trial_events import Failure, TrialEvents


class LeaveTune(BaseException):
    """Ray is dead. This is not an ``Exception``, after which Tune would clean up with Ray and wait for it."""


class EarlyStopping(tune.Stopper):
    """Asks the strategy after each epoch whether to continue a trial."""

    def __init__(self, events: TrialEvents) -> None:
        self._events: Any = events

    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
        try:
            return not self._events.keep_going(self._events.trial_of(result["config"]), result)
        except KdtuneError as error:  # of the strategy
            self._events.give_up(error)
            return False

    def stop_all(self) -> bool:
        return self._events.must_stop

    def __getstate__(self) -> dict[str, Any]:
        return {"_events": None}


def _stops_the_study(report: Callable[..., None]) -> Callable[..., None]:
    """Make an error in a report stop the study cleanly; Tune would show a traceback."""

    @wraps(report)
    def guarded(self: Any, *args: Any, **named: Any) -> None:
        if self._events.gave_up:
            return
        try:
            report(self, *args, **named)
        except (KdtuneError, OSError) as error:
            self._events.give_up(error)
            if isinstance(self._events.gave_up, RayError):
                raise LeaveTune from None

    return guarded


class Reports(tune.Callback):
    """Passes the reports of Tune to the events of a strategy."""

    def __init__(self, executor: Any, events: TrialEvents) -> None:
        self._executor: Any = executor
        self._events: Any = events
        self._read_at_s = 0.0

    def _trial_of(self, tune_trial: Any) -> Any:
        """Return the trial of a study that belongs to a trial of Tune."""
        return self._events.trial_of(tune_trial.config)

    @_stops_the_study
    def on_trial_start(self, iteration: int, trials: list[Any], trial: Any, **_: Any) -> None:
        self._executor.settle()
        # At this point at the latest; if all cores train, it is not called while their workers start.
        self._executor.prepare_worker()
        self._events.started(self._trial_of(trial))

    @_stops_the_study
    def on_trial_result(self, iteration: int, trials: list[Any], trial: Any, result: dict[str, Any], **_: Any) -> None:
        self._events.epoch_done(self._trial_of(trial), result)

    @_stops_the_study
    def on_trial_complete(self, iteration: int, trials: list[Any], trial: Any, **_: Any) -> None:
        self._events.ended(self._trial_of(trial), trial.last_result)
        release_memory(trial)

    @_stops_the_study
    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **_: Any) -> None:
        self._events.failed(self._trial_of(trial), _reason(trial))

    @_stops_the_study
    def on_step_end(self, iteration: int, trials: list[Any], **_: Any) -> None:
        now_s = time.monotonic()
        if now_s - self._read_at_s >= self._events.reading_interval_s:
            self._read_at_s = now_s
            self._events.read_energy()

    def __getstate__(self) -> dict[str, Any]:
        return {"_executor": None, "_events": None, "_read_at_s": 0.0}


def _reason(tune_trial: Any) -> Failure:
    """Return why a trial failed: the innermost cause, without the frames of Ray."""
    # Tune's own method reads its storage, to which the file may not have been copied yet.
    file = Path(tune_trial.local_path, "error.txt")
    text = file.read_text(errors="replace") if file.exists() else ""
    causes = re.findall(r"^([\w.]+\.)?(\w+): (.+)$", text, re.MULTILINE)
    if not causes:
        return Failure("its worker died", "died")
    module, name, words = causes[-1]
    if module == "ray.exceptions." and name != "RayTaskError":
        return Failure(f"its worker died ({name}: {words})", "died")
    if name == MachineError.__name__:
        return Failure(words, "machine")
    return Failure(f"{name}: {words}", "own")
