"""What Ray Tune calls while trials run: it reports, and the run decides.

Tune pickles its callbacks now and then; the run behind them, with its open files, is no part of that.
"""

import re
import time
from pathlib import Path
from typing import Any

from ray import tune

from kdtune.tuning.ended_trials import let_go


class EarlyStopping(tune.Stopper):
    """Asks the strategy after each epoch whether a trial is to go on."""

    def __init__(self, run: Any, plan: Any) -> None:
        self._run: Any = run
        self._plan: Any = plan

    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
        trial = self._run.log.trials[result["config"]["run"]["trial_id"]]
        return not self._plan.keep_going(trial, result["epoch"], result["val_accuracy"])

    def stop_all(self) -> bool:
        return self._run.over_budget

    def __getstate__(self) -> dict[str, Any]:
        return {"_run": None, "_plan": None}


class Reports(tune.Callback):
    """Takes what Tune reports to the run."""

    def __init__(self, run: Any, plan: Any) -> None:
        self._run: Any = run
        self._plan: Any = plan
        self._read_at_s = 0.0

    def on_trial_start(self, iteration: int, trials: list[Any], trial: Any, **_: Any) -> None:
        self._run.started(self._run.trial_of(trial))

    def on_trial_result(self, iteration: int, trials: list[Any], trial: Any, result: dict[str, Any], **_: Any) -> None:
        self._run.epoch_done(self._run.trial_of(trial), result)

    def on_trial_complete(self, iteration: int, trials: list[Any], trial: Any, **_: Any) -> None:
        self._run.ended(self._plan, self._run.trial_of(trial), trial.last_result)
        let_go(trial)

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **_: Any) -> None:
        error, died = _reason(trial)
        self._run.failed(self._plan, self._run.trial_of(trial), error, died=died)

    def on_step_end(self, iteration: int, trials: list[Any], **_: Any) -> None:
        now_s = time.monotonic()
        if now_s - self._read_at_s >= self._run.reading_interval_s:
            self._read_at_s = now_s
            self._run.read_energy()

    def __getstate__(self) -> dict[str, Any]:
        return {"_run": None, "_plan": None, "_read_at_s": 0.0}


def _reason(tune_trial: Any) -> tuple[str, bool]:
    """Why a trial failed, in one line (the innermost cause, without Ray's wrapping), and whether its process died."""
    # Tune's own look-up reads its storage, where the file may not have arrived yet.
    file = Path(tune_trial.local_path, "error.txt")
    text = file.read_text(errors="replace") if file.exists() else ""
    told = re.findall(r"^([\w.]+\.)?(\w+): (.+)$", text, re.MULTILINE)
    if not told:
        return "its worker died", True
    module, name, words = told[-1]
    if module == "ray.exceptions." and name != "RayTaskError":
        return f"its worker died ({name}: {words})", True
    return f"{name}: {words}", False
