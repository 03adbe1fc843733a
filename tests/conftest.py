import os

import pytest
import torch
from hypothesis import settings

# Workers that are idle stay for the next test's study, as they do where kdtune starts Ray.
os.environ.setdefault("RAY_idle_worker_killing_time_threshold_ms", "3600000")

# No deadline: a busy machine is no fault. Derandomised: a run of the suite is as reproducible as a study.
settings.register_profile("kdtune", deadline=None, max_examples=60, derandomize=True)
settings.load_profile("kdtune")


@pytest.fixture(scope="session", autouse=True)
def cache_folder(tmp_path_factory):
    """A cache of the session's own, so that no test reads or writes the user's; subprocesses inherit it."""
    folder = tmp_path_factory.mktemp("cache")
    before = os.environ.get("KDTUNE_CACHE_DIR")
    os.environ["KDTUNE_CACHE_DIR"] = str(folder)
    yield folder
    if before is None:
        del os.environ["KDTUNE_CACHE_DIR"]
    else:
        os.environ["KDTUNE_CACHE_DIR"] = before


@pytest.fixture(scope="session", autouse=True)
def one_thread():
    """Sums are taken in another order with another number of threads."""
    torch.set_num_threads(1)
