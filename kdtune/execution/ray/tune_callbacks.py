"""What Ray Tune calls while trials run: it reports, and the run decides.

Tune pickles its callbacks now and then; the run behind them, with its open files, is no part of that.
"""

import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import Any, Literal

import ray
from ray import tune

from kdtune.errors import KdtuneError, MachineError, RayError
from kdtune.execution.ray.ended_trials import let_go


@dataclass(frozen=True)
class Failure:
    """Why a trial's attempt failed.

    Attributes:
        error: In one line.
        whose: ``own``: the training raised. ``died``: its process ended. ``machine``: a disk or a cache gave way.
    """

    error: str
    whose: Literal["own", "died", "machine"]


class LeaveTune(BaseException):
    """Ray is dead. No ``Exception``, after which Tune would tidy up with Ray's help and wait for it."""


class EarlyStopping(tune.Stopper):
    """Asks the strategy after each epoch whether a trial is to go on."""

    def __init__(self, run: Any, plan: Any) -> None:
        self._run: Any = run
        self._plan: Any = plan

    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
        trial = self._run.log.trials[result["config"]["run"]["trial_id"]]
        return not self._plan.keep_going(trial, result["epoch"], result["val_accuracy"])

    def stop_all(self) -> bool:
        return self._run.must_stop

    def __getstate__(self) -> dict[str, Any]:
        return {"_run": None, "_plan": None}


def _kept_from_tune(report: Callable[..., None]) -> Callable[..., None]:
    """What a report fails of ends the run in an orderly way: Tune would make a traceback of it."""

    @wraps(report)
    def taken(self: Any, *args: Any, **named: Any) -> None:
        if self._run.gave_up:
            return
        try:
            report(self, *args, **named)
        except (KdtuneError, OSError, ray.exceptions.RayError) as error:
            self._run.give_up(error)
            if isinstance(self._run.gave_up, RayError):
                raise LeaveTune from None

    return taken


class Reports(tune.Callback):
    """Takes what Tune reports to the run."""

    def __init__(self, run: Any, plan: Any) -> None:
        self._run: Any = run
        self._plan: Any = plan
        self._read_at_s = 0.0

    @_kept_from_tune
    def on_trial_start(self, iteration: int, trials: list[Any], trial: Any, **_: Any) -> None:
        self._run.started(self._run.trial_of(trial))

    @_kept_from_tune
    def on_trial_result(self, iteration: int, trials: list[Any], trial: Any, result: dict[str, Any], **_: Any) -> None:
        self._run.epoch_done(self._run.trial_of(trial), result)

    @_kept_from_tune
    def on_trial_complete(self, iteration: int, trials: list[Any], trial: Any, **_: Any) -> None:
        self._run.ended(self._plan, self._run.trial_of(trial), trial.last_result)
        let_go(trial)

    @_kept_from_tune
    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **_: Any) -> None:
        self._run.failed(self._plan, self._run.trial_of(trial), _reason(trial))

    @_kept_from_tune
    def on_step_end(self, iteration: int, trials: list[Any], **_: Any) -> None:
        now_s = time.monotonic()
        if now_s - self._read_at_s >= self._run.reading_interval_s:
            self._read_at_s = now_s
            self._run.read_energy()

    def __getstate__(self) -> dict[str, Any]:
        return {"_run": None, "_plan": None, "_read_at_s": 0.0}


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
