"""NVIDIA's GPUs, through NVML."""

import os
from collections.abc import Callable, Collection
from typing import Any, TypeVar

T = TypeVar("T")


class NvidiaGpu:
    """One GPU; a value that it does not tell now is None, since one lost GPU must not end the study of another."""

    def __init__(self, handle: Any) -> None:
        """Take one of NVML's handles.

        Raises:
            NVMLError: The GPU does not tell its name or UUID.
        """
        import pynvml

        self._handle = handle
        self.uuid = str(pynvml.nvmlDeviceGetUUID(handle))
        self.name = str(pynvml.nvmlDeviceGetName(handle))

    def energy_mj(self) -> int | None:
        """Its energy counter in millijoules; None where it has none, or cannot be read now."""
        import pynvml

        return self._read(pynvml.nvmlDeviceGetTotalEnergyConsumption)

    def power_mw(self) -> int | None:
        """Its present power in milliwatts; None where it cannot be read now."""
        import pynvml

        return self._read(pynvml.nvmlDeviceGetPowerUsage)

    def _read(self, sensor: Callable[[Any], T]) -> T | None:
        import pynvml

        try:
            return sensor(self._handle)
        except pynvml.NVMLError:
            return None


class PolledEnergy:
    """A counter made from readings of a GPU's power, for a GPU that has none: power times the time since the last."""

    def __init__(self, energy_mj: float = 0.0, at_ns: int | None = None) -> None:
        """Begin, or go on from an earlier process's counter.

        Args:
            energy_mj: Counted so far, in millijoules.
            at_ns: Time since boot of the last reading, in nanoseconds; None before the first one.
        """
        self.energy_mj = energy_mj
        self.at_ns = at_ns

    def add(self, power_mw: int, now_ns: int) -> int:
        """Add a reading of the power, in milliwatts, and return the counter, in millijoules."""
        self.energy_mj += power_mw * (now_ns - (now_ns if self.at_ns is None else self.at_ns)) / 1e9
        self.at_ns = now_ns
        return int(self.energy_mj)


def _all_gpus() -> list[NvidiaGpu]:
    """All GPUs that work. One that does not, such as one that has fallen off the bus, is no GPU for a trial either.

    Raises:
        NVMLError: There are GPUs, and none of them works.
    """
    import pynvml

    found, failure = [], None
    for index in range(pynvml.nvmlDeviceGetCount()):
        try:
            found.append(NvidiaGpu(pynvml.nvmlDeviceGetHandleByIndex(index)))
        except pynvml.NVMLError as error:
            failure = error
    if failure and not found:
        raise failure
    return found


def find_gpus(wanted: Collection[str] | None) -> dict[str, NvidiaGpu]:
    """The machine's GPUs by UUID.

    Args:
        wanted: UUIDs of those to find, whichever of them this process may use; None finds those that Ray may hand
            out: all, or those that CUDA_VISIBLE_DEVICES shows.

    Raises:
        NVMLError: There is a driver, and it fails.
    """
    import pynvml

    if wanted is not None and not wanted:
        return {}
    try:
        pynvml.nvmlInit()
    except (pynvml.NVMLError_LibraryNotFound, pynvml.NVMLError_DriverNotLoaded):
        return {}  # no GPU of NVIDIA's
    found = _all_gpus()
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if wanted is not None:
        return {gpu.uuid: gpu for gpu in found if gpu.uuid in wanted}
    if visible is None:
        return {gpu.uuid: gpu for gpu in found}
    names = [name.strip() for name in visible.split(",") if name.strip()]
    return {
        gpu.uuid: gpu
        for index, gpu in enumerate(found)
        if str(index) in names or any(gpu.uuid.startswith(name) for name in names if not name.isdigit())
    }
