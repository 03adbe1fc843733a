"""What Ray gave a worker, and what a cluster has."""

import os
import sys
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from kdtune.errors import UsageError


@dataclass(frozen=True)
class Resources:
    """What each trial gets.

    Attributes:
        cpus: Cores; a whole number of torch threads follows from it.
        gpus: GPUs; a fraction shares one.
    """

    cpus: float
    gpus: float

    def __str__(self) -> str:
        cpus = f"{self.cpus:g} CPU core{'' if self.cpus == 1 else 's'}"
        return cpus if not self.gpus else f"{cpus} and {self.gpus:g} GPU{'' if self.gpus == 1 else 's'}"

    @property
    def threads(self) -> int:
        """CPU threads for torch."""
        return max(1, int(self.cpus))

    def slots(self, nodes: Iterable[Mapping[str, float]]) -> int:
        """How many trials fit side by side; at least 1.

        Args:
            nodes: What each node of the cluster has; see :func:`cluster_nodes`.
        """
        return max(1, sum(map(self._slots_of, nodes)))

    def _slots_of(self, node: Mapping[str, float]) -> int:
        """A trial runs on one node, and where it shares a GPU, on one GPU."""
        fits = _units(node.get("CPU", 0)) // _units(self.cpus)
        if not self.gpus:
            return fits
        return min(fits, int(node.get("GPU", 0)) * self.trials_per_gpu)

    @property
    def trials_per_gpu(self) -> int:
        """How many trials share a GPU; 0 where they use none."""
        return _UNITS // _units(self.gpus) if self.gpus else 0

    def check_fit(self, nodes: Collection[Mapping[str, float]], place: str = "the cluster") -> None:
        """Refuse what no node of the cluster can give: Ray would wait for it without a word.

        Args:
            nodes: What each node of the cluster has.
            place: What has that, for messages.

        Raises:
            UsageError: A trial asks for more than there is; names the flags.
        """
        asked = (("--cpus-per-trial", "CPU", self.cpus), ("--gpus-per-trial", "GPU", self.gpus))
        most = {name: max((node.get(name, 0) for node in nodes), default=0) for _, name, _ in asked}
        there = f"{place} has" if len(nodes) == 1 else "no node of the cluster has more than"
        faults = [
            f"{flag} {amount:g}: {there} {most[name]:g}; give at most that"
            for flag, name, amount in asked
            if amount > most[name]
        ]
        if not faults and not any(map(self._slots_of, nodes)):
            flags = ", ".join(f"{flag} {amount:g}" for flag, _, amount in asked)
            faults = [f"{flags}: no node of the cluster has both; give less of one of them"]
        if faults:
            raise UsageError("\n".join(faults))


#: Ray counts cores and GPUs in units of 1e-4; as floating-point numbers 1 // 0.1 would be 9.
_UNITS = 10_000

#: Of a core or a GPU, the least that Ray can give.
SMALLEST_SHARE = 1 / _UNITS


def _units(amount: float) -> int:
    return round(amount * _UNITS)


def cluster_nodes() -> list[dict[str, float]]:
    """What each living node of the cluster has, such as ``{"CPU": 16.0, "GPU": 1.0}``."""
    import ray

    return [dict(node["Resources"]) for node in ray.nodes() if node["Alive"]]


def cluster_address(given: str | None) -> str | None:
    """The Ray cluster that a study joins, which has cores and GPUs of its own.

    Args:
        given: The address that the user gave.

    Returns:
        Where it is: what this process is connected to already, else the given address, else ``$RAY_ADDRESS``. None
        where the study starts a Ray of its own on this machine.
    """
    ray = sys.modules.get("ray")  # importing it would take a second, and what is not imported is not connected
    if ray is not None and ray.is_initialized():
        return str(ray.get_runtime_context().gcs_address)
    address = given or os.environ.get("RAY_ADDRESS")
    return None if address == "local" else address or None


def gpus_by_default(
    nodes: Iterable[Mapping[str, float]],
    seen: Collection[str],
    *,
    is_own: bool,
    tell: Callable[[str], object],
    finder: str = "Ray",
) -> float:
    """GPUs for each trial where the user has not said: 1 where a node of the cluster has one, else 0.

    Args:
        nodes: What each node of the cluster has.
        seen: UUIDs of the GPUs that NVML shows on this machine.
        is_own: Whether the cluster is a Ray that the study starts on this machine.
        tell: Called with a warning where only the cluster of somebody else has no GPU.
        finder: What found the nodes' GPUs.

    Raises:
        UsageError: This machine has a GPU, but it was not found: a training on the CPU could take days.
    """
    if any(node.get("GPU", 0) >= 1 for node in nodes):
        return 1.0
    if seen or _has_gpu_files():
        if is_own:
            raise UsageError(
                f"this machine has a GPU, but {finder} finds none; run 'kdtune doctor', or give --gpus-per-trial 0 to "
                "train on the CPU"
            )
        tell("this machine has a GPU, but no node of the Ray cluster has one: trials run on CPUs")
    return 0.0


#: Where Linux shows an NVIDIA GPU to programs, also where NVML cannot be asked.
_DEVICES = Path("/dev")

#: What hides all GPUs from CUDA, in CUDA_VISIBLE_DEVICES.
_NO_GPU = ("", "-1", "NoDevFiles")


def _has_gpu_files() -> bool:
    first = os.environ.get("CUDA_VISIBLE_DEVICES", "0").split(",")[0].strip()
    return first not in _NO_GPU and any(_DEVICES.glob("nvidia[0-9]*"))


def gpu_indices(gpus: float) -> list[int]:
    """The GPUs that this process may use, as torch counts them.

    Ray usually hides all other GPUs, so that they begin at 0; with RAY_EXPERIMENTAL_NOSET_CUDA_VISIBLE_DEVICES every
    worker sees all GPUs of its node, and only Ray knows which are its own. A process that is no worker has the first.

    Args:
        gpus: As many as Ray gave; 0 gives none.
    """
    if gpus <= 0:
        return []
    ray = sys.modules.get("ray")
    if ray is None or not ray.is_initialized():
        return [0]
    given = ray.get_runtime_context().get_accelerator_ids().get("GPU", [])
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    names = visible.split(",") if visible else None
    return sorted(names.index(one) if names else int(one) for one in given) or [0]


def gpu_shares(gpus: float) -> dict[str, float]:
    """The GPUs that Ray gave this process: UUID to share."""
    if gpus <= 0:
        return {}
    import torch

    indices = [index for index in gpu_indices(gpus) if index < torch.cuda.device_count()]
    uuids = [f"GPU-{torch.cuda.get_device_properties(index).uuid}" for index in indices]
    return {uuid: min(1.0, gpus) for uuid in uuids}
