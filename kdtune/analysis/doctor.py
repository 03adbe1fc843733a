"""Checks of the machine, each of which reports a finding and a remedy."""

import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

from kdtune.analysis.doctor_finding import Finding
from kdtune.analysis.doctor_sensors import examine_sensors
from kdtune.catalog.builtin import DATASETS
from kdtune.data.published import files_of, missing_files
from kdtune.errors import KdtuneError
from kdtune.execution.ray.ray_environment import ray_environment, temporary_folder
from kdtune.planning.resources import cluster_address
from kdtune.planning.usable_cores import usable_cores
from kdtune.storage.paths import cache_dir, data_dir, require_cache
from kdtune.storage.wording import counted

#: Free space below which a warning is given, in GiB.
LITTLE_DISK_GIB = 5

#: Time limit for a worker to start and to import torch, in seconds.
WORKER_S = 120


def _python() -> Finding:
    # An older Python cannot import this module.
    return Finding("Python", "ok", sys.version.split()[0])


def _torch() -> Finding:
    try:
        import torch
        import torchvision
    except Exception as error:  # missing or incompatible libraries raise all kinds of errors
        return Finding(
            "torch", "fault", f"cannot be imported: {error}", "install matching versions of torch and torchvision"
        )
    return Finding("torch", "ok", f"{torch.__version__}, torchvision {torchvision.__version__}")


def _cuda() -> Finding:
    try:
        import torch
    except Exception:  # reported by the check of torch
        return Finding("CUDA", "warning", "not checked: torch cannot be imported", "repair torch first")
    if torch.cuda.is_available():
        names = [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())]
        return Finding("CUDA", "ok", ", ".join(names))
    return Finding("CUDA", "warning", "no GPU that torch can use", "small studies run on the CPU; large ones take days")


def _ray() -> Finding:
    try:
        found = version("ray")
        with ray_environment("local"):
            import ray.tune  # noqa: F401 - checks that it can be imported
    except KdtuneError:
        raise
    except Exception as error:  # as for torch
        return Finding("Ray Tune", "fault", f"cannot be imported: {error}", "pip install 'ray[tune]'")
    cores, usable = os.cpu_count() or 1, usable_cores()
    fewer = f", of which kdtune may use {usable} (affinity or a quota)" if usable < cores else ""
    return Finding("Ray Tune", "ok", f"{found}, {counted(cores, 'core')} here{fewer}")


def _home() -> Finding:
    try:
        return Finding("home", "ok", str(Path.home()))
    except RuntimeError:
        found = "no home folder: HOME is not set, and this user has no entry in the password file"
        return Finding("home", "warning", found, "set HOME, or KDTUNE_CACHE_DIR for kdtune's own files")


def _temporary() -> Finding:
    try:
        wanted = os.environ.get("RAY_TMPDIR") or tempfile.gettempdir()
    except FileNotFoundError as error:
        return Finding("temporary files", "fault", str(error), "set TMPDIR to a folder that can be written")
    folder = Path(temporary_folder()).parent
    if folder != Path(wanted).absolute():
        found = f"Ray uses {folder}, since {wanted} cannot be written or its path is too long for Ray's sockets"
        return Finding("temporary files", "warning", found, "set TMPDIR to another folder if you need one")
    return Finding("temporary files", "ok", str(folder))


def _shared_memory() -> Finding:
    if os.access("/dev/shm", os.W_OK):
        free_mib = shutil.disk_usage("/dev/shm").free / 2**20
        return Finding("shared memory", "ok", f"/dev/shm can be written, {free_mib:.0f} MiB free")
    found = "/dev/shm cannot be written: Ray's object store uses a disk, and other containers' studies are not detected"
    return Finding("shared memory", "warning", found, "mount it writable, for example with docker run --shm-size=1g")


def _start() -> Finding:
    """Start Ray as a study does, and import the packages of trials in a worker."""
    if cluster_address("local"):
        return Finding("Ray's start", "ok", "Ray is already running in this process")
    began_s = time.monotonic()
    with ray_environment("local"):
        try:
            import ray

            from kdtune.execution.ray.dispatch import last_line
            from kdtune.execution.ray.ray_start import start_ray
        except Exception:  # reported by the check of Ray Tune
            return Finding("Ray's start", "warning", "not checked: Ray cannot be imported", "repair Ray first")
        try:
            start_ray()
            versions = ray.get(ray.remote(num_cpus=0)(_imported).remote(), timeout=WORKER_S)
        except Exception as error:  # Ray raises all kinds of errors when it or a worker cannot start
            return Finding("Ray's start", "fault", last_line(error), "remove the cause named here")
        finally:
            ray.shutdown()
    found = f"Ray and a worker started in {time.monotonic() - began_s:.0f} s ({', '.join(versions)})"
    return Finding("Ray's start", "ok", found)


def _imported() -> list[str]:
    """Return the versions of the packages that trials need; runs in a worker."""
    import torch

    from kdtune import __version__
    from kdtune.artifacts import training_context  # noqa: F401 - checks that it can be imported

    return [f"kdtune {__version__}", f"torch {torch.__version__}"]


def _data() -> Finding:
    place = data_dir()
    if place.named_by == "KDTUNE_DATA_DIR" and not place.path.is_dir():
        return Finding(
            "data", "fault", f"KDTUNE_DATA_DIR is {place.path}, which is not a folder", "correct or unset it"
        )
    complete, absent, incomplete = [], [], []
    for name in DATASETS:
        missing = missing_files(name, place.path)
        if not files_of(name):
            continue
        if not missing:
            complete.append(name)
        elif len(missing) == len(files_of(name)):
            facts = DATASETS[name].facts
            absent.append(f"{name} ({'by hand' if 'by_hand' in facts else str(facts['download_mb']) + ' MB'})")
        else:
            incomplete.append(f"{name} ({missing[0]} is missing)")
    found = f"digits are bundled with scikit-learn; in {place}: {', '.join(complete) or 'nothing'}"
    found += f"; to download: {', '.join(absent)}" if absent else ""
    if incomplete:
        remedy = "kdtune study NAME --download downloads a study's data set again"
        return Finding("data", "warning", f"{found}; incomplete: {', '.join(incomplete)}", remedy)
    return Finding("data", "ok", found)


def _disk() -> Finding:
    require_cache()
    cache = cache_dir()
    free_gib = shutil.disk_usage(cache).free / 2**30
    found = f"{free_gib:.0f} GiB free for the cache at {cache}"
    if free_gib < LITTLE_DISK_GIB:
        return Finding("disk", "warning", found, "free some space, or set KDTUNE_CACHE_DIR to another disk")
    return Finding("disk", "ok", found)


#: The checks by name.
CHECKS: dict[str, Callable[[], Finding]] = {
    "Python": _python,
    "torch": _torch,
    "CUDA": _cuda,
    "Ray Tune": _ray,
    "home": _home,
    "temporary files": _temporary,
    "shared memory": _shared_memory,
    "disk": _disk,
    "data": _data,
    "Ray's start": _start,
}


def examine() -> list[Finding]:
    """Run all checks. Ray is started once."""
    return [*(_checked(name, check) for name, check in CHECKS.items()), *examine_sensors()]


def _checked(name: str, check: Callable[[], Finding]) -> Finding:
    try:
        return check()
    except KdtuneError as error:  # a study would be refused with the same message
        found, _, remedy = str(error).partition("; ")
        return Finding(name, "fault", found, remedy)
