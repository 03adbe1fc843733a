"""What a program that calls kdtune finds afterwards in its own process."""

import os
import random
import subprocess
import sys
import warnings

import numpy
import pytest
import torch

from kdtune.planning.process_state import restored_process_state

PROGRAM = """
import logging, random, signal, sys, warnings
import codecarbon, numpy, ray, torch
from ray import tune
import kdtune
from kdtune.execution.ray.ray_start import only_needed_daemons
from tests.studies import small_study

LOGGERS = ["", "ray", "ray.tune", "ray.tune.tune", "codecarbon", "fvcore", "kdtune"]

def state():
    return {
        **{f"level of {name}": logging.getLogger(name).level for name in LOGGERS},
        **{str(number): signal.getsignal(number) for number in (signal.SIGUSR1, signal.SIGINT, signal.SIGTERM)},
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
warnings.simplefilter("once")
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
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(tmp_path)], env=os.environ, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr[-2000:]
    for printed in (done.stdout, done.stderr):
        assert printed.partition("BEGIN\n")[2].partition("END\n")[0] == ""


def test_random_states_threads_and_filters_are_put_back_after_an_error():
    threads, filters = torch.get_num_threads(), list(warnings.filters)
    drawn = []
    for _ in range(2):
        with pytest.raises(ValueError), restored_process_state():
            drawn.append((random.random(), numpy.random.rand(), float(torch.rand(()))))
            torch.set_num_threads(threads + 1)
            warnings.simplefilter("error")
            raise ValueError
        assert torch.get_num_threads() == threads and list(warnings.filters) == filters
    assert drawn[0] == drawn[1]
