"""Runs a job in a separate process with additional environment variables.

Usage: ``python -m kdtune.execution.inline.separate_process FOLDER`` runs the job in ``FOLDER/job.pickle``.
"""

import os
import pickle
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import kdtune
from kdtune.errors import MachineError
from kdtune.execution.error_conversion import as_kdtune_error

_JOB, _ANSWER, _ERRORS = "job.pickle", "answer.pickle", "errors.txt"

#: Seconds between two calls of the poll function.
_POLL_S = 0.5


def run_separately(
    function: Callable[..., Any], args: tuple[Any, ...], environment: Mapping[str, str], poll: Callable[[], object]
) -> Any:
    """Run a function of kdtune in a new process and return its result.

    Args:
        function: Function that can be pickled, with its arguments and its result.
        args: Arguments of the function.
        environment: Environment variables in addition to those of this process.
        poll: Called about twice a second; stops the process by raising an exception.

    Raises:
        KdtuneError: The function raised an exception, or the process died.
    """
    with tempfile.TemporaryDirectory(prefix="kdtune-job-") as name:
        folder = Path(name)
        (folder / _JOB).write_bytes(pickle.dumps((function, args)))
        # -P: modules are not imported from the working folder, where a script may have the name of a module.
        command = [sys.executable, "-P", "-m", __name__, name]
        with (folder / _ERRORS).open("wb") as errors:
            process = subprocess.Popen(
                command,
                env={**os.environ, **_own_path(), **environment},
                stdin=subprocess.DEVNULL,
                stdout=errors,
                stderr=errors,
            )
        try:
            _wait(process, poll)
        finally:
            process.kill()
            process.wait()
        if not (folder / _ANSWER).exists():
            lines = (folder / _ERRORS).read_text(errors="replace").strip().splitlines()
            raise MachineError(f"a process died ({process.returncode}): {lines[-1] if lines else 'without a message'}")
        result, error = pickle.loads((folder / _ANSWER).read_bytes())
    if error is not None:
        raise error
    return result


def _own_path() -> dict[str, str]:
    """Return the PYTHONPATH with which the process imports the same kdtune."""
    package, given = str(Path(kdtune.__file__).parents[1]), os.environ.get("PYTHONPATH")
    return {"PYTHONPATH": f"{package}{os.pathsep}{given}" if given else package}


def _wait(process: subprocess.Popen[bytes], poll: Callable[[], object]) -> None:
    while True:
        try:
            process.wait(timeout=_POLL_S)
            return
        except subprocess.TimeoutExpired:
            poll()


def _main(folder: Path) -> None:
    function, args = pickle.loads((folder / _JOB).read_bytes())
    try:
        answer: tuple[Any, BaseException | None] = function(*args), None
    except Exception as error:
        answer = None, as_kdtune_error(error)
    (folder / _ANSWER).write_bytes(pickle.dumps(answer))


if __name__ == "__main__":
    _main(Path(sys.argv[1]))
