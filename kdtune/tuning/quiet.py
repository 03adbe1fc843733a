"""Ray and Tune say much; kdtune says what matters itself."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

#: Read by Ray and Tune when they are imported or started.
_QUIET = {
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    "RAY_AIR_NEW_OUTPUT": "0",
    "TUNE_PRINT_ALL_TRIAL_ERRORS": "0",
    "RAY_USAGE_STATS_ENABLED": "0",
    "TUNE_DISABLE_STRICT_METRIC_CHECKING": "1",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
}


@contextmanager
def quiet_ray() -> Iterator[None]:
    """Silence Ray inside; what the user has set stays as it is, and other pipelines in the process get theirs back."""
    added = {key: value for key, value in _QUIET.items() if key not in os.environ}
    os.environ.update(added)
    try:
        yield
    finally:
        for key in added:
            os.environ.pop(key, None)
