"""What a program that calls kdtune finds afterwards in its own process."""

import os
import random
import sys
import warnings

import numpy
import pytest
import torch

from kdtune.planning.process_state import restored_process_state
from tests.forked import Forked

PROGRAM = """
import faulthandler, logging, os, random, signal, sys, warnings
import codecarbon, kdtune, numpy, optuna, ray, torch
from ray import tune
from kdtune.execution.ray.ray_start import only_needed_daemons
from tests.forked_workers import fork_workers
from tests.studies import small_study

LOGGERS = ["", "ray", "ray.tune", "ray.tune.tune", "codecarbon", "fvcore", "kdtune", "optuna", "torch"]

def logger(name):
    one = logging.getLogger(name)
    return one.level, list(one.handlers), list(one.filters), one.propagate, one.disabled

def state():
    return {
        **{f"logger {name}": logger(name) for name in LOGGERS},
        **{str(number): signal.getsignal(number) for number in signal.valid_signals()},
        **{f"variable {name}": value for name, value in os.environ.items()},
        "variables": sorted(os.environ),
        "folder": os.getcwd(),
        "path": list(sys.path),
        "hooks": (sys.excepthook, warnings.showwarning, faulthandler.is_enabled()),
        "Ray": ray.is_initialized() and ray.get_runtime_context().gcs_address,
        "filters": list(warnings.filters),
        "random": random.getstate(),
        "numpy": numpy.random.get_state()[1].tolist(),
        "torch": torch.random.get_rng_state().tolist(),
        "threads": torch.get_num_threads(),
    }

def compare(before, what):
    after = state()
    for name in before:
        assert before[name] == after[name], f"{what}: {name}: {str(before[name])[:99]} became {str(after[name])[:99]}"

logging.getLogger("codecarbon").setLevel(logging.WARNING)
logging.getLogger("ray").setLevel(logging.WARNING)
signal.signal(signal.SIGUSR1, lambda *_: None)
torch.set_num_threads(2)
warnings.simplefilter("once")
fork_workers()
with only_needed_daemons():
    ray.init(address="local", num_cpus=2, include_dashboard=False)
for stream in (sys.stdout, sys.stderr):
    print("BEGIN", file=stream, flush=True)
before = state()
study = small_study(strategies={"optuna": {"trials": 1}}, repeats=1)
assert kdtune.run_study(study, out=sys.argv[1]).exit_code == 0
compare(before, "run_study")
assert kdtune.resume_study(sys.argv[1] + "/small").exit_code == 0
compare(before, "resume_study")
kdtune.plan_study(study, out=sys.argv[1], fresh=True)
compare(before, "plan_study")
ledger = kdtune.EnergyLedger(sys.argv[1] + "/ledger")
ledger.setup()
ledger.account()
ledger.on_experiment_end([])
compare(before, "EnergyLedger")
for stream in (sys.stdout, sys.stderr):
    print("END", file=stream, flush=True)
"""


@pytest.mark.study
def test_the_state_of_the_process_is_restored_and_nothing_is_printed(tmp_path):
    process = Forked(PROGRAM, [str(tmp_path)], forks_workers=True)
    streams = process.communicate()
    assert process.returncode == 0, streams[1][-2000:]
    for printed in streams:
        assert printed.partition("BEGIN\n")[2].partition("END\n")[0] == ""


def test_random_states_threads_filters_and_hooks_are_put_back_after_an_error():
    threads, filters, hook = torch.get_num_threads(), list(warnings.filters), sys.excepthook
    variables = dict(os.environ)
    drawn = []
    for _ in range(2):
        with pytest.raises(ValueError), restored_process_state():
            drawn.append((random.random(), numpy.random.rand(), float(torch.rand(()))))
            torch.set_num_threads(threads + 1)
            os.environ |= {"RAY_AUTH_MODE": "token", "PYTHONBREAKPOINT": "ray"}  # as Ray does when it starts
            warnings.simplefilter("error")
            sys.excepthook = print
            raise ValueError
        assert torch.get_num_threads() == threads and list(warnings.filters) == filters and sys.excepthook is hook
        assert os.environ == variables
    assert drawn[0] == drawn[1]


FAULT_HANDLER = """
import faulthandler
from kdtune.planning.process_state import restored_process_state

for before in (False, True):
    faulthandler.enable() if before else faulthandler.disable()
    with restored_process_state():
        faulthandler.enable()
    assert faulthandler.is_enabled() == before
"""


def test_a_fault_handler_that_ray_enables_is_disabled_again():
    process = Forked(FAULT_HANDLER, [])
    assert process.communicate() == ("", "") and process.returncode == 0
