"""Energy and power of NVIDIA GPUs, read with NVML."""

import os
from collections.abc import Callable, Collection
from typing import Any, TypeVar

T = TypeVar("T")


class NvidiaGpu:
    """One GPU. A value that cannot be read is None, since the failure of one GPU must not end a study on another."""

    def __init__(self, handle: Any) -> None:
        """Read the name and the UUID.

        Args:
            handle: Handle of the GPU from NVML.

        Raises:
            NVMLError: The name or the UUID cannot be read.
        """
        import pynvml

        self._handle = handle
        self.uuid = str(pynvml.nvmlDeviceGetUUID(handle))
        self.name = str(pynvml.nvmlDeviceGetName(handle))

    def energy_mj(self) -> int | None:
        """Return the energy counter in millijoules; None if the GPU has none or it cannot be read now."""
        import pynvml

        return self._read(pynvml.nvmlDeviceGetTotalEnergyConsumption)

    def power_mw(self) -> int | None:
        """Return the current power in milliwatts; None if it cannot be read now."""
        import pynvml

        return self._read(pynvml.nvmlDeviceGetPowerUsage)

    def _read(self, sensor: Callable[[Any], T]) -> T | None:
        import pynvml

        try:
            return sensor(self._handle)
        except pynvml.NVMLError:
            return None


class PolledEnergy:
    """Energy counter for a GPU that has none: each reading of the power, multiplied by the time since the last one."""

    def __init__(self, energy_mj: float = 0.0, at_ns: int | None = None) -> None:
        """Start the counter at 0, or at the value that an earlier process reached.

        Args:
            energy_mj: Energy counted so far, in millijoules.
            at_ns: Time of the last reading since boot, in nanoseconds; None before the first one.
        """
        self.energy_mj = energy_mj
        self.at_ns = at_ns

    def add(self, power_mw: int, now_ns: int) -> int:
        """Add a reading of the power, in milliwatts, and return the counter, in millijoules."""
        self.energy_mj += power_mw * (now_ns - (now_ns if self.at_ns is None else self.at_ns)) / 1e9
        self.at_ns = now_ns
        return int(self.energy_mj)


def _all_gpus() -> list[NvidiaGpu]:
    """Return all GPUs that work. Trials cannot use the others either, for example one that has fallen off the bus.

    Raises:
        NVMLError: There are GPUs, but none of them works.
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
    """Return the machine's GPUs by UUID.

    Args:
        wanted: UUIDs of the GPUs to return, whether or not this process may use them; None returns those that Ray may
            allocate: all GPUs, or those in CUDA_VISIBLE_DEVICES.

    Raises:
        NVMLError: There is a driver, but it fails.
    """
    import pynvml

    if wanted is not None and not wanted:
        return {}
    try:
        pynvml.nvmlInit()
    except (pynvml.NVMLError_LibraryNotFound, pynvml.NVMLError_DriverNotLoaded):
        return {}  # there is no NVIDIA GPU
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
