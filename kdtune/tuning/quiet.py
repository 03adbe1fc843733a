"""The environment in which Ray is started: it and Tune say little, and its workers keep their memory."""

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager

from kdtune.logs import level_of

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

#: Read by the C library when a worker starts. By default it gives the memory of a step's activations back and asks for
#: it anew in the next one, page by page: of a step of MobileNetV2 under ResNet18 on a CPU that takes 6 to 12 %.
_KEEPS_MEMORY = {
    "MALLOC_MMAP_THRESHOLD_": str(4 << 30),
    "MALLOC_TRIM_THRESHOLD_": str(16 << 30),
    "MALLOC_TOP_PAD_": str(64 << 20),
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
    """Silence Ray inside, and let its workers keep memory; other pipelines in the process get their settings back."""
    # Tune warns of metrics that are not in its own files, and reports in an error which trials were stopped.
    with (
        level_of("ray.tune", logging.ERROR),
        level_of("ray.tune.tune", logging.CRITICAL),
        environment(_QUIET | _KEEPS_MEMORY),
    ):
        yield
