"""A study that is over in seconds, and how tests run it as a user would."""

import io
import json
import os
import subprocess
import sys
from contextlib import chdir, redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest

#: Three temperatures, three epochs of four steps, and a teacher of four: enough for everything that a study does. The
#: report is left out: it takes a second to draw, and does not depend on how the study ran.
SMALL = [
    "--no-report",
    "--set",
    "training.batch_size=100",
    "--set",
    "teacher_training.batch_size=100",
    "--set",
    "teacher_training.epochs=4",
    "--set",
    "teacher_training.milestones=[]",
    "--set",
    "search_space.tau.low=2",
    "--set",
    "search_space.tau.high=10",
    "--set",
    "search_space.tau.step=4",
    "--epochs",
    "3",
]


def small_study(**changes: Any) -> dict[str, Any]:
    """The digits study with three points and three epochs, as a table."""
    training = {"epochs": 3, "batch_size": 100, "learning_rate": 0.05, "weight_decay": 5e-4}
    return {
        "name": "small",
        "dataset": "digits",
        "teacher": "convnet_32",
        "student": "convnet_2_4_4",
        "loss": "hkd",
        "search_space": {"tau": {"values": [2, 6, 10]}},
        "validation": 400,
        "repeats": 2,
        "training": training,
        "teacher_training": training,
        "strategies": {"grid": {}, "stochastic": {}, "none": {}},
        **changes,
    }


def command(*arguments: str) -> list[str]:
    """``kdtune`` with arguments, in the Python that runs the tests."""
    return [sys.executable, "-m", "kdtune", *arguments]


def kdtune(*arguments: str, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run ``kdtune`` in a process of its own and wait for it; :func:`here` is quicker."""
    return subprocess.run(
        command(*arguments), cwd=cwd, env={**os.environ, **environment}, capture_output=True, text=True
    )


#: Code of ``kdtune`` in a process that fails if it opens a socket.
KDTUNE_WITHOUT_SOCKETS = """
import socket
from kdtune.__main__ import main

class Refused(socket.socket):
    def __init__(self, *arguments, **options):
        raise AssertionError("a socket was opened")

socket.socket = Refused
main()
"""


def here(*arguments: str, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """As :func:`kdtune`, in this process: it has imported everything, and its Ray is used where it has one."""
    from kdtune.cli.app import main

    out, err = io.StringIO(), io.StringIO()
    with (
        patch.dict(os.environ, environment),
        chdir(cwd),
        patch.object(sys, "argv", ["kdtune", *arguments]),
        redirect_stdout(out),
        redirect_stderr(err),
        pytest.raises(SystemExit) as ended,
    ):
        main()
    return subprocess.CompletedProcess(arguments, ended.value.code, out.getvalue(), err.getvalue())


def results_of(done: subprocess.CompletedProcess[str]) -> dict[str, dict[str, Any]]:
    """The ``--json`` results of a run, by strategy; standard output holds nothing else."""
    return {result["strategy"]: result for result in json.loads(done.stdout)["results"]}


def outcome_of(result: dict[str, Any]) -> dict[str, Any]:
    """What of a result does not depend on the machine's speed: everything but energy."""
    repeats = [{key: value for key, value in repeat.items() if key != "charged_uj"} for repeat in result["repeats"]]
    flops = {key: result["cost"][key] for key in ("gflops_millions", "training_flops")}
    return {**{key: result[key] for key in ("status", "summary", "failures")}, "repeats": repeats, **flops}
