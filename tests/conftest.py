import os
import shutil
import sys
from collections import Counter

import pytest
import torch
from hypothesis import settings

# Workers that are idle stay for the next test's study, as they do where kdtune starts Ray.
os.environ.setdefault("RAY_idle_worker_killing_time_threshold_ms", "3600000")

# No deadline: a busy machine is no fault. Derandomised: a run of the suite is as reproducible as a study.
settings.register_profile("kdtune", deadline=None, max_examples=60, derandomize=True)
settings.load_profile("kdtune")


def pytest_configure(config):
    """Let processes that share the suite (``-n 2 --dist loadfile``) take files in the order of the collection."""
    config.option.loadscopereorder = False


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items):
    """Put files first that share a Ray, one after the other, then those with the most studies, which take longest.

    So Ray starts once in each process, and processes that share the suite end at about the same time.
    """
    studies = Counter(item.path for item in items if item.get_closest_marker("study"))
    shares_ray = {item.path for item in items if "running_ray" in item.fixturenames}
    items.sort(key=lambda item: (item.path not in shares_ray, -studies[item.path]))


def pytest_collection_finish(session):
    """Hide the machine's GPUs from tests and from the processes that they start: only a CPU gives the same bits twice.

    Tests that are marked ``gpu`` see them, where they run by themselves (``-m gpu``).
    """
    if not all(item.get_closest_marker("gpu") for item in session.items):
        os.environ["CUDA_VISIBLE_DEVICES"] = ""


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


@pytest.fixture(scope="module", autouse=True)
def artifacts_of_this_module(cache_folder):
    """No test finds teachers of an earlier module, which may have been trained without a meter."""
    for artifact in ("teachers", "teacher-logits", "compilations"):
        shutil.rmtree(cache_folder / artifact, ignore_errors=True)


@pytest.fixture(scope="session", autouse=True)
def meters_of_this_worker(tmp_path_factory):
    """Where the suite runs in several processes, studies of one are no neighbours of another's."""
    if "PYTEST_XDIST_WORKER" in os.environ:
        os.environ["KDTUNE_METERS_DIR"] = str(tmp_path_factory.mktemp("meters"))


@pytest.fixture(scope="session", autouse=True)
def one_thread():
    """Sums are taken in another order with another number of threads."""
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def running_ray():
    """A Ray that is there before kdtune, as in somebody's pipeline; modules share it, for each start takes seconds."""
    import ray

    if ray.is_initialized():
        return
    # Its workers' environment knows of no data: whatever a study reads, it was told where.
    data = os.environ.pop("KDTUNE_DATA_DIR", None)
    try:
        ray.init(address="local", num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
    finally:
        if data is not None:
            os.environ["KDTUNE_DATA_DIR"] = data


@pytest.fixture(scope="module")
def without_ray():
    """No Ray in this process nor beside it, whatever an earlier module started."""
    if "ray" in sys.modules:
        sys.modules["ray"].shutdown()


@pytest.fixture(scope="session", autouse=True)
def no_ray_is_left():
    yield
    if "ray" in sys.modules:
        sys.modules["ray"].shutdown()
