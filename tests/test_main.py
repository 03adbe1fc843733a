"""The start of the command, before it has imported anything: signals, and variables that would make it fail."""

import os
import signal
import subprocess
import sys

import pytest

from tests.studies import command

#: Sends this process a signal at its first import of the command line, which is before any command runs.
SIGNALLED = """
import os, sys
class Finder:
    def find_spec(self, name, path=None, target=None):
        if name == "kdtune.cli.app":
            os.kill(os.getpid(), {number})
sys.meta_path.insert(0, Finder())
from kdtune.__main__ import main
main()
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_while_the_command_is_imported_ends_it_with_130_and_a_message(number):
    done = subprocess.run(
        [sys.executable, "-c", SIGNALLED.format(number=int(number)), "list"],
        capture_output=True,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # a background job ignores it
    )
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "interrupted\n")


@pytest.mark.parametrize(
    "variables",
    [
        {
            "PYTHONOPTIMIZE": "2",
            "PYTHONWARNINGS": "error",
            "LC_ALL": "C",
            "PYTHONUTF8": "0",
            "PYTHONCOERCECLOCALE": "0",
        },
        {"LC_ALL": "POSIX"},
    ],
)
def test_variables_of_the_interpreter_do_not_change_a_command(tmp_path, variables):
    out = tmp_path / "Ergebnisse für Zürich"
    out.mkdir()
    done = subprocess.run(
        command("list", "runs", "--out", str(out)), capture_output=True, env={**os.environ, **variables}
    )
    assert (done.returncode, done.stderr) == (0, b"")
    assert "Zürich" in done.stdout.decode()


def test_a_name_that_is_not_utf8_is_refused_with_a_word():
    done = subprocess.run([*map(os.fsencode, command("list", "runs", "--out")), b"caf\xe9"], capture_output=True)
    assert done.returncode == 2
    assert b"not valid UTF-8" in done.stderr and b"Traceback" not in done.stderr
