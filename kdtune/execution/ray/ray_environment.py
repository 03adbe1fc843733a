"""Environment in which kdtune starts Ray: quiet, and independent of the user's settings for other programs."""

import logging
import os
import secrets
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

from kdtune.energy.logger_levels import level_of
from kdtune.errors import RayError
from kdtune.execution.environment import HIDDEN, environment
from kdtune.planning.resources import cluster_address
from kdtune.storage.paths import cache_dir, can_be_made

#: Settings that Ray and Tune read when they are imported or started.
_SETTINGS = {
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    "RAY_AIR_NEW_OUTPUT": "0",
    "TUNE_PRINT_ALL_TRIAL_ERRORS": "0",
    "RAY_USAGE_STATS_ENABLED": "0",
    # The study itself reports a trial that fails while Ray is shutting down.
    "RAY_IGNORE_UNHANDLED_ERRORS": "1",
    "TUNE_DISABLE_STRICT_METRIC_CHECKING": "1",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    # An idle worker has imported torch already, so Ray keeps it for the next job instead of for one second.
    "RAY_idle_worker_killing_time_threshold_ms": "3600000",
    # No history of tasks for the dashboard, which is not started: Ray's head node would grow by 25 kB per trial.
    "RAY_task_events_report_interval_ms": "0",
    # A year between Tune's snapshots of all trials, which nothing reads and which take longer with each trial.
    "TUNE_GLOBAL_CHECKPOINT_S": "31536000",
}

#: The C library reads these when a worker starts. By default it returns the memory of a step's activations to the
#: system and requests it again in the next step, page by page: for MobileNetV2 under ResNet18 on a CPU that takes 6
#: to 12 % of a step.
_KEEPS_MEMORY = {
    "MALLOC_MMAP_THRESHOLD_": str(4 << 30),
    "MALLOC_TRIM_THRESHOLD_": str(16 << 30),
    "MALLOC_TOP_PAD_": str(64 << 20),
}

#: Set by Tune in a trial that itself runs a study: start of relative paths.
_OUTER_FOLDER = "TUNE_ORIG_WORKING_DIR"

#: The only variables of Ray that apply to a Ray that kdtune starts: its security, the place of its files, and when it
#: ends workers to save memory. For an existing cluster, all variables apply.
_RAY_KEPT = ("RAY_ADDRESS", "RAY_AUTH_", "RAY_USE_TLS", "RAY_TLS_", "RAY_TMPDIR", "RAY_memory_")


@contextmanager
def ray_environment(address: str | None = None) -> Iterator[None]:
    """Silence Ray, shield the study from the user's environment, and let workers keep memory, within the context.

    The settings are restored afterwards for other pipelines in the process.

    Args:
        address: Address of a running Ray cluster, as the user gave it.
    """
    own = cluster_address(address) is None
    hidden = [key for key in os.environ if key.startswith(("TUNE_", *HIDDEN)) and key != _OUTER_FOLDER]
    if own:
        hidden += [key for key in os.environ if key.startswith("RAY_") and not key.startswith(_RAY_KEPT)]
    variables = _SETTINGS | _KEEPS_MEMORY | (_home() if own else {})
    with (
        # Tune warns of metrics that are not in its own files, and logs stopped trials as an error.
        level_of("ray.tune", logging.ERROR),
        level_of("ray.tune.tune", logging.CRITICAL),
        environment(variables, hidden),
        warnings.catch_warnings(),
    ):
        warnings.simplefilter("ignore")  # with -W error, a library's deprecation would end the study
        yield


#: Largest length of a socket's path in bytes, and the longest path that Ray appends to its temporary folder.
_SOCKET_BYTES = 107
_SOCKET_SUFFIX = "/session_2000-01-01_00-00-00_000000_0000000/sockets/plasma_store"

#: Folders to try, in this order, if Ray cannot use the temporary folder.
_OTHER_FOLDERS = ("/tmp", "/var/tmp", "/dev/shm")


def temporary_folder() -> str:
    """Return a folder for Ray's files in which the paths of its sockets are short enough.

    Raises:
        RayError: There is no such folder; the message names the variable to set.
    """
    try:
        chosen = os.environ.get("RAY_TMPDIR") or tempfile.gettempdir()
    except FileNotFoundError:  # no temporary folder is writable
        chosen = os.environ.get("TMPDIR", "/tmp")
    for place in (chosen, *_OTHER_FOLDERS):
        folder = Path(place).absolute() / "ray"
        if len(os.fsencode(f"{folder}{_SOCKET_SUFFIX}")) <= _SOCKET_BYTES and can_be_made(folder):
            return str(folder)
    longest = _SOCKET_BYTES - len(f"/ray{_SOCKET_SUFFIX}")
    raise RayError(
        f"Ray cannot keep its files in {chosen}, nor in {', '.join(_OTHER_FOLDERS)}; set TMPDIR to a writable folder "
        f"whose path has at most {longest} bytes"
    )


def _home() -> dict[str, str]:
    """Return variables for Ray's token: a home folder if there is none, or a token if the home folder is not writable.

    Raises:
        UsageError: There is neither a home folder nor a folder for the cache.
    """
    try:
        kept = Path.home() / ".ray" / "auth_token"
    except RuntimeError:  # for example in a container with an arbitrary user, where Ray cannot be imported
        return {"HOME": str(cache_dir())}
    has_token = any(name in os.environ for name in ("RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"))
    needs_none = os.environ.get("RAY_AUTH_MODE", "token").lower() != "token"
    if has_token or needs_none or os.access(kept, os.R_OK) or _is_writable(kept.parent):
        return {}
    return {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": _own_token()}


def _is_writable(folder: Path) -> bool:
    """Return whether a folder is writable, after creating it as Ray would."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        return False
    return os.access(folder, os.W_OK)


@cache
def _own_token() -> str:
    """Return the token of this process; Ray keeps the first token that it reads in a process."""
    return secrets.token_hex(32)
