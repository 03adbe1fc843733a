"""What Ray Tune calls while trials run: it reports, and the run decides.

Tune pickles its callbacks now and then; the run behind them, with its open files, is no part of that.
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
    """Ray is dead. No ``Exception``, after which Tune would tidy up with Ray's help and wait for it."""


class EarlyStopping(tune.Stopper):
    """Asks the strategy after each epoch whether a trial is to go on."""

    def __init__(self, events: TrialEvents) -> None:
        self._events: Any = events

    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
        return not self._events.keep_going(self._events.trial_of(result["config"]), result)

    def stop_all(self) -> bool:
        return self._events.must_stop

    def __getstate__(self) -> dict[str, Any]:
        return {"_events": None}


def _kept_from_tune(report: Callable[..., None]) -> Callable[..., None]:
    """What a report fails of ends the run in an orderly way: Tune would make a traceback of it."""

    @wraps(report)
    def taken(self: Any, *args: Any, **named: Any) -> None:
        if self._events.gave_up:
            return
        try:
            report(self, *args, **named)
        except (KdtuneError, OSError) as error:
            self._events.give_up(error)
            if isinstance(self._events.gave_up, RayError):
                raise LeaveTune from None

    return taken


class Reports(tune.Callback):
    """Takes what Tune reports to the run."""

    def __init__(self, executor: Any, events: TrialEvents) -> None:
        self._executor: Any = executor
        self._events: Any = events
        self._read_at_s = 0.0

    def _trial_of(self, tune_trial: Any) -> Any:
        """Our trial behind one of Tune's."""
        return self._events.trial_of(tune_trial.config)

    @_kept_from_tune
    def on_trial_start(self, iteration: int, trials: list[Any], trial: Any, **_: Any) -> None:
        self._executor.settle()
        # At the latest: where all cores are to train, not while their workers start.
        self._executor.prepare_worker()
        self._events.started(self._trial_of(trial))

    @_kept_from_tune
    def on_trial_result(self, iteration: int, trials: list[Any], trial: Any, result: dict[str, Any], **_: Any) -> None:
        self._events.epoch_done(self._trial_of(trial), result)

    @_kept_from_tune
    def on_trial_complete(self, iteration: int, trials: list[Any], trial: Any, **_: Any) -> None:
        self._events.ended(self._trial_of(trial), trial.last_result)
        release_memory(trial)

    @_kept_from_tune
    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **_: Any) -> None:
        self._events.failed(self._trial_of(trial), _reason(trial))

    @_kept_from_tune
    def on_step_end(self, iteration: int, trials: list[Any], **_: Any) -> None:
        now_s = time.monotonic()
        if now_s - self._read_at_s >= self._events.reading_interval_s:
            self._read_at_s = now_s
            self._events.read_energy()

    def __getstate__(self) -> dict[str, Any]:
        return {"_executor": None, "_events": None, "_read_at_s": 0.0}


def _reason(tune_trial: Any) -> Failure:
    """Why a trial failed: the innermost cause, without Ray's wrapping."""
    # Tune's own look-up reads its storage, where the file may not have arrived yet.
    file = Path(tune_trial.local_path, "error.txt")
    text = file.read_text(errors="replace") if file.exists() else ""
    told = re.findall(r"^([\w.]+\.)?(\w+): (.+)$", text, re.MULTILINE)
    if not told:
        return Failure("its worker died", "died")
    module, name, words = told[-1]
    if module == "ray.exceptions." and name != "RayTaskError":
        return Failure(f"its worker died ({name}: {words})", "died")
    if name == MachineError.__name__:
        return Failure(words, "machine")
    return Failure(f"{name}: {words}", "own")
