import gc
import logging
import os
import shutil
import socket
import sys
from collections import Counter

import pytest
from hypothesis import settings

from tests.forked_suite import fork_test_processes
from tests.forked_workers import fork_workers

# Idle workers are kept for the study of the next test, as in a Ray that kdtune starts.
os.environ.setdefault("RAY_idle_worker_killing_time_threshold_ms", "3600000")

# There is no deadline, since the machine may be busy. Derandomised runs of the suite are as reproducible as studies.
settings.register_profile("kdtune", deadline=None, max_examples=60, derandomize=True)
settings.load_profile("kdtune")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_setupnodes(config, specs):
    """Let processes that share the suite be forked, so that each of them need not import torch."""
    config.stash[SERVER_OF_TESTS] = fork_test_processes(specs, config.rootpath)


def pytest_configure(config):
    """Let processes that share the suite (``-n 3 --dist loadfile``) take files in the order of the collection."""
    config.option.loadscopereorder = False


@pytest.hookimpl(wrapper=True)
def pytest_collection():
    """Keep the garbage collector from examining what is collected and imported: a million objects, which all stay."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


#: Connection to the server that test processes are forked from.
SERVER_OF_TESTS = pytest.StashKey[socket.socket]()

#: Paths of the test modules that share a Ray.
SHARES_RAY = pytest.StashKey[set]()


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config, items):
    """Put files first that share a Ray, one after the other, then those with the most studies, which take longest.

    So Ray starts once in each process, and processes that share the suite end at about the same time.
    """
    studies = Counter(item.path for item in items if item.get_closest_marker("study"))
    shares_ray = {item.path for item in items if "running_ray" in item.fixturenames}
    items.sort(key=lambda item: (item.path not in shares_ray, -studies[item.path]))
    config.stash[SHARES_RAY] = shares_ray


def pytest_collection_finish(session):
    """Hide the machine's GPUs from tests and their processes, since only CPUs give bit-identical results.

    GPUs are visible if only tests with the mark ``gpu`` run (``-m gpu``).
    """
    if not all(item.get_closest_marker("gpu") for item in session.items):
        os.environ["CUDA_VISIBLE_DEVICES"] = ""


@pytest.fixture(scope="session", autouse=True)
def cache_folder(tmp_path_factory):
    """Use a separate cache, so that no test reads or writes the user's. Subprocesses inherit it."""
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
    """Remove the artifacts of earlier modules, which may have been made without a meter."""
    for artifact in ("teachers", "teacher-logits", "compilations", "synthetic-images"):
        shutil.rmtree(cache_folder / artifact, ignore_errors=True)


@pytest.fixture(scope="session", autouse=True)
def meters_of_this_worker(tmp_path_factory):
    """Separate the meters of parallel test processes, so that their studies do not see each other."""
    if "PYTEST_XDIST_WORKER" in os.environ:
        os.environ["KDTUNE_METERS_DIR"] = str(tmp_path_factory.mktemp("meters"))


@pytest.fixture(scope="session", autouse=True)
def forked_workers():
    """Let the workers of Ray be forked if a test has imported it, unless they use the machine's GPUs."""
    if "ray" in sys.modules and os.environ.get("CUDA_VISIBLE_DEVICES") == "":
        fork_workers()


@pytest.fixture(scope="session", autouse=True)
def one_thread():
    """Use one thread, since the number of threads changes the order of sums."""
    import torch

    torch.set_num_threads(1)


@pytest.fixture
def log_records():
    """Return the list of the records that any logger passes on during the test."""
    records = []
    handler = logging.Handler()
    handler.emit = records.append
    logging.getLogger().addHandler(handler)
    yield records
    logging.getLogger().removeHandler(handler)


@pytest.fixture(scope="session", autouse=True)
def no_power_cut():
    """Let files reach the disk when the system writes them, since no test cuts the power."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda descriptor: None)
        yield


@pytest.fixture(scope="session", autouse=True)
def short_timings():
    """Shorten the timing of steps, as the import of this module does."""
    from tests import short_timings  # noqa: F401


@pytest.fixture(scope="module")
def running_ray():
    """Start Ray before kdtune does, as in a user's pipeline. Modules share it, since a start takes seconds."""
    import ray

    from kdtune.execution.ray.ray_start import only_needed_daemons

    if ray.is_initialized():
        return
    # The workers' environment names no data folder, so that studies must pass the folder to them.
    data = os.environ.pop("KDTUNE_DATA_DIR", None)
    try:
        with only_needed_daemons():
            ray.init(address="local", num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
    finally:
        if data is not None:
            os.environ["KDTUNE_DATA_DIR"] = data


@pytest.fixture(scope="module", autouse=True)
def without_ray(request):
    """Stop the Ray of earlier modules, unless this one shares it: its idle daemons take a twentieth of a core."""
    if "ray" in sys.modules and request.path not in request.config.stash[SHARES_RAY]:
        sys.modules["ray"].shutdown()


@pytest.fixture(scope="session", autouse=True)
def no_ray_is_left():
    yield
    if "ray" in sys.modules:
        sys.modules["ray"].shutdown()
