"""The ``kdtune`` command, also as ``python -m kdtune``: prepares the interpreter, then runs the command line."""

import os
import signal
import sys
from contextlib import suppress
from typing import Any


def main() -> None:
    """Run the command line; from the first moment on, Ctrl-C and SIGTERM end it with 130 and a message."""
    signal.signal(signal.SIGTERM, _interrupt)
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:  # a background job may have to ignore it
        signal.signal(signal.SIGINT, _interrupt)
    try:
        _restart_where_needed()
        from kdtune.cli.app import main as run

        run()
    except KeyboardInterrupt:
        sys.exit(130)


def _interrupt(*_: Any) -> None:
    with suppress(OSError):
        os.write(2, b"interrupted\n")  # here, since typer ends without a word
    raise KeyboardInterrupt


def _restart_where_needed() -> None:
    """Start again in UTF-8 mode, and without variables that make libraries fail.

    Outside UTF-8 mode Ray and its workers cannot be given a path that is not ASCII. Ray reads docstrings, some imports
    warn, and codecarbon takes settings from the environment that kdtune makes itself.
    """
    hidden = ("PYTHONINSPECT", "PYTHONOPTIMIZE", "PYTHONWARNINGS", "CODECARBON_")
    wanted = {key: value for key, value in os.environ.items() if not key.upper().startswith(hidden)}
    if sys.getfilesystemencoding() != "utf-8":
        wanted["PYTHONUTF8"] = "1"
    if wanted != dict(os.environ):
        os.execve(sys.executable, sys.orig_argv, wanted)


if __name__ == "__main__":
    main()
