"""Ray and Tune say much; kdtune says what matters itself."""

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager

#: Read by Ray and Tune when they are imported or started.
_QUIET = {
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    "RAY_AIR_NEW_OUTPUT": "0",
    "TUNE_PRINT_ALL_TRIAL_ERRORS": "0",
    "RAY_USAGE_STATS_ENABLED": "0",
    # A trial that fails while the run ends already is told by nobody else than the run.
    "RAY_IGNORE_UNHANDLED_ERRORS": "1",
    "TUNE_DISABLE_STRICT_METRIC_CHECKING": "1",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    # An idle worker is kept from one job to the next instead of a second: it has imported torch already.
    "RAY_idle_worker_killing_time_threshold_ms": "3600000",
    # What becomes of every task, for a dashboard that is not started: its head would grow by 25 kB a trial.
    "RAY_task_events_report_interval_ms": "0",
    # Seconds between Tune's snapshots of all trials, a year: nobody reads them, and each takes longer than the last.
    "TUNE_GLOBAL_CHECKPOINT_S": "31536000",
}


@contextmanager
def environment(variables: dict[str, str]) -> Iterator[None]:
    """Set environment variables inside; what the user has set stays as it is, and afterwards all is as before."""
    added = {key: value for key, value in variables.items() if key not in os.environ}
    os.environ.update(added)
    try:
        yield
    finally:
        for key in added:
            os.environ.pop(key, None)


@contextmanager
def quiet_ray() -> Iterator[None]:
    """Silence Ray inside; other pipelines in the process get their settings back."""
    # It tells in a line of its own which trials were stopped.
    tune = logging.getLogger("ray.tune.tune")
    level = tune.level
    tune.setLevel(logging.CRITICAL)
    try:
        with environment(_QUIET):
            yield
    finally:
        tune.setLevel(level)
