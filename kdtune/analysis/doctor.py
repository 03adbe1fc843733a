"""Is this machine ready? Each finding with its remedy."""

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

#: Less free space than this is worth a warning, in GiB.
LITTLE_DISK_GIB = 5

#: Seconds that a worker may take to start and to import torch.
WORKER_S = 120


def _python() -> Finding:
    # An older Python could not have imported this.
    return Finding("Python", "ok", sys.version.split()[0])


def _torch() -> Finding:
    try:
        import torch
        import torchvision
    except Exception as error:  # a library that is missing or does not fit raises whatever it likes
        return Finding(
            "torch", "fault", f"does not import: {error}", "install torch and torchvision that belong together"
        )
    return Finding("torch", "ok", f"{torch.__version__}, torchvision {torchvision.__version__}")


def _cuda() -> Finding:
    try:
        import torch
    except Exception:  # told by the check before this one
        return Finding("CUDA", "warning", "not looked for: torch does not import", "mend torch first")
    if torch.cuda.is_available():
        names = [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())]
        return Finding("CUDA", "ok", ", ".join(names))
    return Finding("CUDA", "warning", "no GPU that torch can use", "small studies run on the CPU; large ones take days")


def _ray() -> Finding:
    try:
        found = version("ray")
        with ray_environment("local"):
            import ray.tune  # noqa: F401 - whether it imports is the question
    except KdtuneError:
        raise
    except Exception as error:  # as for torch
        return Finding("Ray Tune", "fault", f"does not import: {error}", "pip install 'ray[tune]'")
    cores, usable = os.cpu_count() or 1, usable_cores()
    fewer = f", of which kdtune may use {usable} (affinity or a quota)" if usable < cores else ""
    return Finding("Ray Tune", "ok", f"{found}, {cores} cores here{fewer}")


def _home() -> Finding:
    try:
        return Finding("home", "ok", str(Path.home()))
    except RuntimeError:
        found = "there is no home folder: HOME is not set, and this user has no entry in the password file"
        return Finding("home", "warning", found, "set HOME, or KDTUNE_CACHE_DIR for kdtune's own files")


def _temporary() -> Finding:
    try:
        wanted = os.environ.get("RAY_TMPDIR") or tempfile.gettempdir()
    except FileNotFoundError as error:
        return Finding("temporary files", "fault", str(error), "set TMPDIR to a folder that can be written")
    folder = Path(temporary_folder()).parent
    if folder != Path(wanted).absolute():
        found = f"Ray's go to {folder}, since {wanted} cannot be written or has too long a path for its sockets"
        return Finding("temporary files", "warning", found, "set TMPDIR to another folder if that one does not suit")
    return Finding("temporary files", "ok", str(folder))


def _shared_memory() -> Finding:
    if os.access("/dev/shm", os.W_OK):
        free_mib = shutil.disk_usage("/dev/shm").free / 2**20
        return Finding("shared memory", "ok", f"/dev/shm can be written, {free_mib:.0f} MiB free")
    found = "/dev/shm cannot be written: Ray's object store goes to a disk, and other containers' studies are not seen"
    return Finding("shared memory", "warning", found, "mount it to be written, such as docker run --shm-size=1g")


def _start() -> Finding:
    """Start Ray as a study does, and let a worker import what trials need."""
    if cluster_address("local"):
        return Finding("Ray's start", "ok", "this process has a Ray already")
    began_s = time.monotonic()
    with ray_environment("local"):
        try:
            import ray

            from kdtune.execution.ray.dispatch import last_line
            from kdtune.execution.ray.ray_start import start_ray
        except Exception:  # reported by the check of Ray Tune
            return Finding("Ray's start", "warning", "not tried: Ray does not import", "mend Ray first")
        try:
            start_ray()
            versions = ray.get(ray.remote(num_cpus=0)(_imported).remote(), timeout=WORKER_S)
        except Exception as error:  # whatever keeps Ray or a worker from starting
            return Finding("Ray's start", "fault", last_line(error), "mend the cause that is named here")
        finally:
            ray.shutdown()
    found = f"Ray and a worker started in {time.monotonic() - began_s:.0f} s ({', '.join(versions)})"
    return Finding("Ray's start", "ok", found)


def _imported() -> list[str]:
    """Runs in a worker: the versions of what trials need there."""
    import torch

    from kdtune import __version__
    from kdtune.artifacts import workbench  # noqa: F401 - whether it imports is the question

    return [f"kdtune {__version__}", f"torch {torch.__version__}"]


def _data() -> Finding:
    place = data_dir()
    if place.named_by == "KDTUNE_DATA_DIR" and not place.path.is_dir():
        return Finding("data", "fault", f"KDTUNE_DATA_DIR is {place.path}, which is no folder", "correct or unset it")
    there, absent, incomplete = [], [], []
    for name in DATASETS:
        missing = missing_files(name, place.path)
        if not files_of(name):
            continue
        if not missing:
            there.append(name)
        elif len(missing) == len(files_of(name)):
            absent.append(f"{name} ({DATASETS[name].facts['download_mb']} MB)")
        else:
            incomplete.append(f"{name} ({missing[0]} is missing)")
    found = f"digits are bundled with scikit-learn; in {place}: {', '.join(there) or 'nothing'}"
    found += f"; to download: {', '.join(absent)}" if absent else ""
    if incomplete:
        remedy = "kdtune study NAME --download fetches a study's data set again"
        return Finding("data", "warning", f"{found}; incomplete: {', '.join(incomplete)}", remedy)
    return Finding("data", "ok", found)


def _disk() -> Finding:
    require_cache()
    cache = cache_dir()
    free_gib = shutil.disk_usage(cache).free / 2**30
    found = f"{free_gib:.0f} GiB free for the cache at {cache}"
    if free_gib < LITTLE_DISK_GIB:
        return Finding("disk", "warning", found, "free some, or set KDTUNE_CACHE_DIR to another disk")
    return Finding("disk", "ok", found)


#: By name: what is examined.
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
    """Look at everything, and start Ray once."""
    return [*(_checked(name, check) for name, check in CHECKS.items()), *examine_sensors()]


def _checked(name: str, check: Callable[[], Finding]) -> Finding:
    try:
        return check()
    except KdtuneError as error:  # a study would be refused with the same words
        found, _, remedy = str(error).partition("; ")
        return Finding(name, "fault", found, remedy)
