"""Standard streams that are full, closed or no longer read."""

import json
import os
import subprocess
import sys

import pytest

from tests.forked import Forked
from tests.results.several import ran
from tests.studies import SMALL

FULL = "error: standard output cannot be written (No space left on device); free space, or redirect it\n"


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with the results of a study."""
    place = tmp_path_factory.mktemp("streams")
    ran(place / "results", "grid", [0.5])
    return place


def in_shell(place, arguments, redirection):
    """Run the command, with an empty cache, in a shell that fails if any command of a pipeline fails."""
    line = f"set -o pipefail; {sys.executable} -m kdtune {arguments} {redirection}"
    environment = {**os.environ, "KDTUNE_CACHE_DIR": str(place / "cache")}
    return subprocess.run(["bash", "-c", line], cwd=place, env=environment, capture_output=True, text=True)


@pytest.mark.parametrize(
    "arguments, redirection, code, told",
    [
        # A full disk is an error, which is reported once.
        ("compare", ">/dev/full", 1, FULL),
        ("list --json 2>/dev/null", ">/dev/full", 1, ""),
        ("--help", ">/dev/full", 1, FULL),
        ("--version", ">/dev/full", 1, FULL),
        # The exit code of a usage error is kept.
        ("list nonsense", ">/dev/full", 2, "error: kdtune list: unknown list"),
        # A reader that closes the pipe is no error.
        ("list", "| true", 0, ""),
        ("list studies --json", "| head -1", 0, ""),
        ("--help", "| true", 0, ""),
        # A stream that the shell has closed is no error.
        ("list --json", ">&- 2>&-", 0, ""),
        ("list", ">&-", 0, ""),
        ("--version", ">&- 2>&- <&-", 0, ""),
        ("clean teachers", "<&-", 0, ""),
        # Messages that cannot be written do not change the exit code.
        ("list nonsense", "2>/dev/full", 2, ""),
        ("list nonsense", "2>&-", 2, ""),
        ("nonsense", "2> >(true)", 2, ""),
    ],
)  # fmt: skip
def test_output_that_cannot_be_written_gives_at_most_a_message(place, arguments, redirection, code, told):
    done = in_shell(place, arguments, redirection)
    assert done.returncode == code, done.stderr
    assert done.stderr == told if told in ("", FULL) else done.stderr.startswith(told)
    assert len(done.stderr.splitlines()) <= 1


def test_a_character_that_the_encoding_lacks_is_written_as_its_number(place):
    code = "import sys; from kdtune.cli.streams import guarded_streams\nwith guarded_streams(): print('\\u2713 fit')"
    line = ["env", "PYTHONIOENCODING=ascii", sys.executable, "-c", code]
    assert subprocess.run(line, capture_output=True, text=True).stdout == "\\u2713 fit\n"


def test_a_closed_descriptor_is_not_given_to_the_next_file(tmp_path):
    """Otherwise output of a child process would go to an open ledger."""
    code = (
        "import subprocess; from kdtune.cli.streams import guarded_streams\n"
        "with guarded_streams(), open('file', 'w') as file:\n"
        "    subprocess.run(['echo', 'x'], check=True); print('y'); file.write(str(file.fileno() > 2))"
    )
    subprocess.run(["bash", "-c", f'{sys.executable} -c "$0" <&- >&- 2>&-', code], cwd=tmp_path, check=True)
    assert (tmp_path / "file").read_text() == "True"


def test_a_pipe_that_its_reader_made_non_blocking_is_waited_for(place):
    """Node.js and some shells leave a pipe in this mode; excess output raised BlockingIOError."""
    code = (
        "import os, sys; os.set_blocking(1, False)\n"
        "from kdtune.cli.streams import guarded_streams\n"
        "with guarded_streams(): print('x' * 1_000_000)"
    )
    line = f'{sys.executable} -c "$0" | (sleep 1; wc -c)'
    done = subprocess.run(["bash", "-c", line, code], capture_output=True, text=True)
    assert (done.stdout.strip(), done.stderr) == ("1000001", "")


def test_streams_replaced_by_others_are_kept(capsys):
    from kdtune.cli.streams import guarded_streams, unwritable

    before = sys.stdout, sys.stderr
    with guarded_streams() as stdout:
        assert (sys.stdout, sys.stderr) == before
        print("x")
        assert unwritable(stdout) is None
    assert capsys.readouterr().out == "x\n"


#: Runs the command with a full disk as its standard output and a named pipe, the first argument, as its standard error.
STREAMS = """
import os, sys
os.dup2(os.open("/dev/full", os.O_WRONLY), 1)
os.dup2(os.open(sys.argv.pop(1), os.O_WRONLY), 2)
from kdtune.__main__ import main
main()
"""


@pytest.mark.study
def test_a_study_continues_if_its_progress_is_not_read_and_its_table_cannot_be_written(tmp_path):
    os.mkfifo(tmp_path / "progress")
    study = ["study", "digits-hkd", "-s", "none", "--inline", "--repeats", "1", *SMALL]
    process = Forked(STREAMS, [str(tmp_path / "progress"), *study], tmp_path)
    with (tmp_path / "progress").open("rb", buffering=0) as progress:
        assert progress.readline() == b"starting the energy meter ...\n"
    assert process.wait() == 1  # for the table
    result = json.loads((tmp_path / "results" / "digits-hkd" / "none" / "result.json").read_text())
    assert result["status"] == "completed" and result["cost"]["charged_kwh"] > 0
