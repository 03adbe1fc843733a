"""What Ray's workers find in their environment."""

import os
import subprocess
import sys

import pytest

from kdtune.tuning.ray_environment import ray_environment

#: Pages that are asked for anew where 64 MB are needed again and again.
FAULTS = """
import resource
import numpy as np
np.ones(1 << 23)
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(5):
    np.ones(1 << 23)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def faults():
    done = subprocess.run([sys.executable, "-c", FAULTS], env=os.environ, capture_output=True, text=True, check=True)
    return int(done.stdout)


@pytest.mark.skipif(sys.platform != "linux", reason="other C libraries have other settings")
def test_a_worker_keeps_the_memory_of_a_step_for_the_next_one_and_nobody_else_does():
    with ray_environment():
        assert faults() < 20
    assert faults() > 100


def test_what_the_user_has_set_stays(monkeypatch):
    monkeypatch.setenv("MALLOC_TOP_PAD_", "1")
    with ray_environment():
        assert os.environ["MALLOC_TOP_PAD_"] == "1" and "MALLOC_TRIM_THRESHOLD_" in os.environ
    assert os.environ["MALLOC_TOP_PAD_"] == "1" and "MALLOC_TRIM_THRESHOLD_" not in os.environ
