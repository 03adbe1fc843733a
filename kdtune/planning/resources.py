"""Resources of trials, of cluster nodes and of this process."""

import os
import sys
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from kdtune.errors import UsageError
from kdtune.storage.wording import counted


@dataclass(frozen=True)
class Resources:
    """Resources of each trial.

    Attributes:
        cpus: CPU cores; may be a fraction.
        gpus: GPUs; with a fraction, several trials share one.
        gpu_type: Kind of GPU to which trials are restricted, as Ray names it; None for any.
    """

    cpus: float
    gpus: float
    gpu_type: str | None = None

    def __str__(self) -> str:
        cpus = counted(self.cpus, "CPU core")
        return cpus if not self.gpus else f"{cpus} and {counted(self.gpus, 'GPU')}"

    @property
    def for_ray(self) -> dict[str, float]:
        """Ray's own name for each resource, with its amount."""
        kind = {f"{_KIND}{self.gpu_type}": _KIND_AMOUNT} if self.gpus and self.gpu_type else {}
        return {"CPU": self.cpus, "GPU": self.gpus, **kind}

    @property
    def threads(self) -> int:
        """Number of CPU threads for torch."""
        return max(1, int(self.cpus))

    def slots(self, nodes: Iterable[Mapping[str, float]]) -> int:
        """Return how many trials fit on the nodes at the same time; at least 1.

        Args:
            nodes: Resources of each node of the cluster; see :func:`cluster_nodes`.
        """
        return max(1, sum(map(self._slots_of, nodes)))

    def _slots_of(self, node: Mapping[str, float]) -> int:
        """Return how many trials fit on one node. A trial that uses a fraction of a GPU uses a single GPU."""
        fits = _units(node.get("CPU", 0)) // _units(self.cpus)
        if not self.gpus:
            return fits
        if self.gpu_type and not node.get(f"{_KIND}{self.gpu_type}"):
            return 0
        return min(fits, int(node.get("GPU", 0)) * self.trials_per_gpu)

    @property
    def trials_per_gpu(self) -> int:
        """How many trials share a GPU; 0 if they use none."""
        return _UNITS // _units(self.gpus) if self.gpus else 0

    def check_fit(self, nodes: Collection[Mapping[str, float]], place: str = "the cluster") -> None:
        """Refuse resources that no node of the cluster has. Ray would wait for them without a message.

        Args:
            nodes: Resources of each node of the cluster.
            place: Name of the cluster or machine, for messages.

        Raises:
            UsageError: No node has the resources of one trial; names the flags.
        """
        requested = (("--cpus-per-trial", "CPU", self.cpus), ("--gpus-per-trial", "GPU", self.gpus))
        most = {name: max((node.get(name, 0) for node in nodes), default=0) for _, name, _ in requested}
        limit = f"{place} has" if len(nodes) == 1 else "no node of the cluster has more than"
        faults = [
            f"{flag} {amount:g}: {limit} {most[name]:g}; give at most that"
            for flag, name, amount in requested
            if amount > most[name]
        ]
        if not faults and not any(map(self._slots_of, nodes)):
            flags = ", ".join(f"{flag} {amount:g}" for flag, _, amount in requested)
            faults = [f"{flags}: no node of the cluster has both; reduce one of them"]
        if faults:
            raise UsageError("\n".join(faults))


#: Ray counts cores and GPUs in units of 1e-4. With floating-point numbers, 1 // 0.1 would be 9.
_UNITS = 10_000

#: Smallest share of a core or a GPU that Ray can assign.
SMALLEST_SHARE = 1 / _UNITS


def _units(amount: float) -> int:
    return round(amount * _UNITS)


#: Prefix of the resource that each node with a GPU of a known kind has, and the little of it that a trial requests.
_KIND, _KIND_AMOUNT = "accelerator_type:", 0.001

#: Kind of the GPUs that Ray does not know.
_UNKNOWN_KIND = "unknown"

#: Environment variable that names the kind of GPU for the trials of a cluster with several kinds, or ``any``.
GPU_TYPE_VARIABLE, ANY_GPU = "KDTUNE_GPU_TYPE", "any"


def chosen_gpu_type(nodes: Iterable[Mapping[str, float]]) -> str | None:
    """Return the kind of GPU to which the trials of a study are restricted; None for no restriction.

    The results of different kinds differ in their bits, in their time and in their energy, so a study mixes them only
    if the user asks for it.

    Args:
        nodes: Resources of each node of the cluster.

    Raises:
        UsageError: The cluster has GPUs of several kinds and none was chosen, or it does not have the chosen kind.
    """
    of_nodes = [[key.removeprefix(_KIND) for key in node if key.startswith(_KIND)] for node in nodes if node.get("GPU")]
    kinds = sorted({kind for found in of_nodes for kind in found or [_UNKNOWN_KIND]})
    asked, has = os.environ.get(GPU_TYPE_VARIABLE), ", ".join(kinds)
    if asked == ANY_GPU:
        return None
    if asked:
        if asked not in kinds or asked == _UNKNOWN_KIND:
            raise UsageError(f"{GPU_TYPE_VARIABLE}={asked}: the cluster has no such GPU; it has {has or 'no GPU'}")
        return asked
    if len(kinds) > 1:
        raise UsageError(
            f"the cluster has GPUs of several kinds ({has}), whose results and energy would be mixed; set "
            f"{GPU_TYPE_VARIABLE} to one of them, or to {ANY_GPU!r} to mix them"
        )
    return kinds[0] if kinds and of_nodes[0] else None  # also for nodes that join later


def cluster_nodes() -> list[dict[str, float]]:
    """Return the resources of each living node of the cluster, such as ``{"CPU": 16.0, "GPU": 1.0}``."""
    import ray

    return [dict(node["Resources"]) for node in ray.nodes() if node["Alive"]]


def cluster_address(given: str | None) -> str | None:
    """Return the address of the Ray cluster that a study joins.

    Args:
        given: The address that the user gave.

    Returns:
        The cluster to which this process is connected already, otherwise the given address, otherwise
        ``$RAY_ADDRESS``. None if the study starts Ray on this machine.
    """
    ray = sys.modules.get("ray")  # not imported here, which would take a second: without it there is no connection
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
    """Return the default number of GPUs for each trial: 1 if a node of the cluster has a GPU, otherwise 0.

    Args:
        nodes: Resources of each node of the cluster.
        seen: UUIDs of the GPUs that NVML shows on this machine.
        is_own: Whether the study starts Ray on this machine, rather than joining a cluster.
        tell: Receives a warning if this machine has a GPU but the joined cluster has none.
        finder: Name of the software that looked for the nodes' GPUs.

    Raises:
        UsageError: This machine has a GPU that was not found. Training on the CPU instead could take days.
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


#: Folder of the device files of NVIDIA GPUs, which exist even if NVML does not work.
_DEVICES = Path("/dev")

#: First entries of CUDA_VISIBLE_DEVICES that hide all GPUs.
_NO_GPU = ("", "-1", "NoDevFiles")


def _has_gpu_files() -> bool:
    """Return whether this machine has device files of GPUs that the user has not hidden."""
    first = os.environ.get("CUDA_VISIBLE_DEVICES", "0").split(",")[0].strip()
    return first not in _NO_GPU and any(_DEVICES.glob("nvidia[0-9]*"))


def gpu_indices(gpus: float) -> list[int]:
    """Return the torch indices of the GPUs that this process may use.

    Ray usually hides all other GPUs, so the indices start at 0. With RAY_EXPERIMENTAL_NOSET_CUDA_VISIBLE_DEVICES every
    worker sees all GPUs of its node, and Ray has to be asked which of them were assigned to it. A process that is not
    a worker uses the first GPU.

    Args:
        gpus: Number of GPUs that Ray assigned; with 0 the result is empty.
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
    """Return the share of each GPU that Ray assigned to this process, by UUID."""
    if gpus <= 0:
        return {}
    import torch

    indices = [index for index in gpu_indices(gpus) if index < torch.cuda.device_count()]
    uuids = [f"GPU-{torch.cuda.get_device_properties(index).uuid}" for index in indices]
    return {uuid: min(1.0, gpus) for uuid in uuids}
