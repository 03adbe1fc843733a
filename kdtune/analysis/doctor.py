"""Is this machine ready? Each finding with its remedy."""

import os
import shutil
import sys
from collections.abc import Callable
from importlib.metadata import version

from kdtune.analysis.finding import Finding
from kdtune.analysis.sensors_check import examine_sensors
from kdtune.data import DATASETS
from kdtune.data.published import files_of, missing_files
from kdtune.paths import cache_dir, data_dir

#: Less free space than this is worth a warning, in GiB.
LITTLE_DISK_GIB = 5


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
        import ray.tune  # noqa: F401 - whether it imports is the question
    except Exception as error:  # as for torch
        return Finding("Ray Tune", "fault", f"does not import: {error}", "pip install 'ray[tune]'")
    return Finding("Ray Tune", "ok", f"{found}, {os.cpu_count()} cores here")


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
    cache = cache_dir()
    existing = next(path for path in (cache, *cache.parents) if path.exists())
    if not existing.is_dir() or not os.access(existing, os.W_OK):
        return Finding(
            "disk", "fault", f"the cache {cache} cannot be written", "set KDTUNE_CACHE_DIR to a folder that can"
        )
    free_gib = shutil.disk_usage(existing).free / 2**30
    found = f"{free_gib:.0f} GiB free for the cache at {cache}"
    if free_gib < LITTLE_DISK_GIB:
        return Finding("disk", "warning", found, "free some, or set KDTUNE_CACHE_DIR to another disk")
    return Finding("disk", "ok", found)


CHECKS: tuple[Callable[[], Finding], ...] = (_python, _torch, _cuda, _ray, _data, _disk)


def examine() -> list[Finding]:
    """Look at everything."""
    return [*(check() for check in CHECKS), *examine_sensors()]
