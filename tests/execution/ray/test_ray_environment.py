"""Environment of Ray and its workers, independent of the user's settings for other programs."""

import logging
import os
import subprocess
import sys
import tempfile
import warnings
from pathlib import Path

import pytest

from kdtune.errors import RayError, UsageError
from kdtune.execution.ray.ray_environment import environment, ray_environment, temporary_folder

#: Program that counts page faults when 64 MB are allocated repeatedly.
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
def test_only_workers_keep_memory_between_steps():
    with ray_environment():
        assert faults() < 20
    assert faults() > 100


def test_the_users_settings_of_the_c_library_are_kept(monkeypatch):
    monkeypatch.setenv("MALLOC_TOP_PAD_", "1")
    with ray_environment():
        assert os.environ["MALLOC_TOP_PAD_"] == "1" and "MALLOC_TRIM_THRESHOLD_" in os.environ
    assert os.environ["MALLOC_TOP_PAD_"] == "1" and "MALLOC_TRIM_THRESHOLD_" not in os.environ


#: A user's variable for other programs, and its value in a study that starts Ray.
VARIABLES = [
    ("TUNE_RESULT_DIR", "/x", None),
    ("TUNE_GLOBAL_CHECKPOINT_S", "1", "31536000"),
    ("TUNE_MAX_PENDING_TRIALS_PG", "1", None),
    ("RAY_NUM_CPUS", "1", None),
    ("RAY_AIR_NEW_OUTPUT", "1", "0"),
    ("RAY_task_events_report_interval_ms", "nonsense", "0"),
    ("RAY_RUNTIME_ENV_HOOK", "mine.hook", None),
    ("RAY_EXPERIMENTAL_NOSET_CUDA_VISIBLE_DEVICES", "1", None),
    ("RAY_AUTH_MODE", "disabled", "disabled"),
    ("RAY_memory_monitor_refresh_ms", "0", "0"),
    ("CODECARBON_LOG_LEVEL", "debug", None),
    ("OMP_NUM_THREADS", "1", None),
    ("OMP_PROC_BIND", "close", None),
    ("MKL_NUM_THREADS", "1", None),
    ("KMP_AFFINITY", "compact", None),
    ("KMP_DUPLICATE_LIB_OK", "TRUE", "TRUE"),
    ("PYTHONOPTIMIZE", "2", None),
    ("PYTHONWARNINGS", "error", None),
    ("NVIDIA_TF32_OVERRIDE", "1", None),
    ("TORCH_HOME", "/models", "/models"),
]


@pytest.mark.parametrize(("name", "value", "seen"), VARIABLES)
def test_variables_of_the_user_neither_break_nor_change_a_study(monkeypatch, name, value, seen):
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.setenv(name, value)
    with ray_environment():
        assert os.environ.get(name) == seen
    assert os.environ[name] == value


def test_a_cluster_that_runs_already_keeps_its_own_variables(monkeypatch):
    monkeypatch.setenv("RAY_NUM_CPUS", "1")
    monkeypatch.setenv("TUNE_RESULT_DIR", "/x")
    with ray_environment("10.0.0.1:6379"):
        assert os.environ["RAY_NUM_CPUS"] == "1" and "TUNE_RESULT_DIR" not in os.environ


def test_warning_filters_and_log_levels_are_restored():
    tune = logging.getLogger("ray.tune.tune")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        before = list(warnings.filters), tune.level
        with ray_environment():
            warnings.warn("a library's", DeprecationWarning, stacklevel=1)
        assert (list(warnings.filters), tune.level) == before


def test_variables_are_restored_after_an_error(monkeypatch):
    monkeypatch.setenv("TUNE_X", "1")
    with pytest.raises(KeyError), environment({"NEW_ONE": "2"}, hidden=["TUNE_X"]):
        assert "TUNE_X" not in os.environ and os.environ["NEW_ONE"] == "2"
        raise KeyError
    assert os.environ["TUNE_X"] == "1" and "NEW_ONE" not in os.environ


# --- home ------------------------------------------------------------------------------------------------------


@pytest.fixture
def no_home(monkeypatch):
    """A user without an entry in the password file."""

    def missing(*_):
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "home", missing)
    monkeypatch.delenv("HOME", raising=False)


def test_without_a_home_folder_ray_uses_the_cache(monkeypatch, tmp_path, no_home):
    monkeypatch.setenv("KDTUNE_CACHE_DIR", str(tmp_path))
    with ray_environment():
        assert os.environ["HOME"] == str(tmp_path)
    assert "HOME" not in os.environ


def test_without_a_home_folder_and_a_cache_the_variable_to_set_is_named(monkeypatch, no_home):
    monkeypatch.delenv("KDTUNE_CACHE_DIR", raising=False)
    with pytest.raises(UsageError, match="set KDTUNE_CACHE_DIR"), ray_environment():
        pass


def test_ray_gets_a_token_if_the_home_folder_is_not_writable(monkeypatch, tmp_path):
    for name in ("RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "file").touch()
    monkeypatch.setenv("HOME", str(tmp_path / "file" / "nowhere"))
    tokens = []
    for _ in range(2):
        with ray_environment():
            tokens.append((os.environ["RAY_AUTH_MODE"], os.environ["RAY_AUTH_TOKEN"]))
    assert tokens[0] == tokens[1] and tokens[0][0] == "token" and len(tokens[0][1]) == 64
    monkeypatch.setenv("HOME", str(tmp_path))
    with ray_environment():
        assert "RAY_AUTH_TOKEN" not in os.environ


# --- temporary files -------------------------------------------------------------------------------------------


def test_ray_keeps_its_files_in_the_temporary_folder(monkeypatch, tmp_path):
    short = tempfile.mkdtemp(dir="/tmp")
    monkeypatch.setattr(tempfile, "tempdir", short)
    monkeypatch.delenv("RAY_TMPDIR", raising=False)
    assert temporary_folder() == f"{short}/ray"
    Path(short).rmdir()


def test_a_temporary_folder_with_too_long_a_path_is_not_used(monkeypatch, tmp_path):
    long = tmp_path / ("x" * 90)
    long.mkdir()
    monkeypatch.setenv("RAY_TMPDIR", str(long))
    assert temporary_folder() == "/tmp/ray"


def test_without_a_usable_folder_the_message_names_the_variable(monkeypatch, tmp_path):
    (tmp_path / "file").touch()
    monkeypatch.setenv("RAY_TMPDIR", str(tmp_path / "file"))
    monkeypatch.setattr("kdtune.execution.ray.ray_environment._OTHER_FOLDERS", (str(tmp_path / "file"),))
    with pytest.raises(RayError, match="set TMPDIR to a writable folder"):
        temporary_folder()
