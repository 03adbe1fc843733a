"""Studies in unusual environments have the same results as in a clean one."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.forked import Forked
from tests.studies import here, outcome_of, results_of

STUDY = ["study", "digits-hkd", "-s", "fixed", "--epochs", "2", "--repeats", "1"]
STUDY += ["--set", "teacher_training.epochs=2", "--set", "teacher_training.milestones=[1]"]

#: Unusual settings and their variables, all used at once; each of them has broken or changed a study.
ENVIRONMENTS: list[tuple[str, dict[str, str]]] = [
    ("a SLURM job without scontrol", {"SLURM_JOB_ID": "1", "SLURM_MEM_PER_NODE": "8192"}),
    ("results of Tune somewhere else", {"TUNE_RESULT_DIR": "/x", "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "0"}),
    ("settings of Ray", {"RAY_task_events_report_interval_ms": "x", "RAY_num_workers_soft_limit": "0"}),
    ("settings of codecarbon", {"CODECARBON_LOG_LEVEL": "nonsense", "CODECARBON_TRACKING_MODE": "process"}),
    ("an optimised interpreter", {"PYTHONOPTIMIZE": "2"}),
    ("warnings that are errors", {"PYTHONWARNINGS": "error"}),
    ("threads for other programs", {"OMP_NUM_THREADS": "7", "OMP_PROC_BIND": "nonsense", "MKL_NUM_THREADS": "7"}),
    ("a locale without letters", {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}),
    ("no home that can be written", {"HOME": "/proc/nowhere"}),
]

#: Modules whose names a user's script in the working folder may have; workers import each of them.
SCRIPTS = ("kdtune", "queue", "inspect", "random", "torch")


@pytest.fixture
def workplace(tmp_path):
    """A folder with an unusual name, scripts of the user, and a long path for temporary files."""
    place = tmp_path / "Übungen zur 蒸留"
    (place / ("temporary" * 10)).mkdir(parents=True)
    for name in SCRIPTS:
        (place / f"{name}.py").write_text("raise SystemExit('a script of the user was imported')\n")
    return place


@pytest.fixture(scope="module")
def expected(tmp_path_factory):
    """Result of the study in a clean environment."""
    return results_of(here(*STUDY, "--inline", "--no-report", "--json", cwd=tmp_path_factory.mktemp("clean")))["fixed"]


@pytest.mark.study
@pytest.mark.parametrize("more", [[], ["--inline", "--no-report"]], ids=["ray", "inline"])
def test_unusual_environment_does_not_change_results(workplace, expected, more):
    variables = {name: value for _, one in ENVIRONMENTS for name, value in one.items()}
    environment = {**os.environ, **variables, "TMPDIR": str(workplace / ("temporary" * 10))}
    environment.pop("RAY_idle_worker_killing_time_threshold_ms", None)  # of the tests' own Ray
    one_core = ["taskset", "-c", str(min(os.sched_getaffinity(0)))]
    # Like the installed command, this does not import modules from the working folder.
    code = f"import sys; sys.path[0] = {str(Path(__file__).parents[2])!r}; "
    kdtune = [*one_core, sys.executable, "-c", code + "from kdtune.__main__ import main; main()"]
    done = subprocess.run(
        [*kdtune, *STUDY, *more, "--json"], cwd=workplace, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert (workplace / "results" / "digits-hkd" / "report.html").exists() == ("--no-report" not in more)
    found = results_of(done)["fixed"]
    assert outcome_of(found) == outcome_of(expected)
    assert found["cost"]["hardware"] == expected["cost"]["hardware"]
    assert not {"sensor_left_out", "unended"} & found["cost"]["flags"].keys()
    assert "Traceback" not in done.stderr and "CODECARBON" not in done.stderr


#: Runs the command, which gets Ctrl-C as soon as Ray has started its first two daemons.
SIGNALLED = """
import os, signal, sys
from ray._private import services
start = services.start_raylet

def signalled(*given, **named):
    started = start(*given, **named)
    os.kill(os.getpid(), signal.SIGINT)
    return started

services.start_raylet = signalled
from kdtune.__main__ import main
main()
"""


@pytest.mark.study
def test_a_signal_while_ray_starts_exits_with_130_and_the_next_command(tmp_path):
    """SIGTERM takes the same way, as the tests of interrupts show."""
    process = Forked(SIGNALLED, [*STUDY, "--json"], tmp_path, forks_workers=True)
    out, err = process.communicate()
    assert process.returncode == 130, err
    assert "starting Ray" in err and "Interrupted." in err and "run the same command" in err
    assert "Traceback" not in err
    assert json.loads(out)["results"] == []
