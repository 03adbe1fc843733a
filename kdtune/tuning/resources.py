"""What Ray gave a worker, and what a cluster has."""

import os
import sys
from dataclasses import dataclass

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

    def slots(self, cluster: dict[str, float]) -> int:
        """How many trials fit into the cluster side by side."""
        fits = [cluster.get("CPU", 0) // self.cpus] + ([cluster.get("GPU", 0) // self.gpus] if self.gpus else [])
        return max(1, int(min(fits)))

    def check_fit(self, cluster: dict[str, float]) -> None:
        """Refuse what no cluster of this size can give: Ray would wait for it without a word.

        Args:
            cluster: ``ray.cluster_resources()``.

        Raises:
            UsageError: A trial asks for more than there is; names the flags.
        """
        faults = [
            f"{flag} {asked:g}: the cluster has {cluster.get(name, 0):g}; give at most that"
            for flag, name, asked in (("--cpus-per-trial", "CPU", self.cpus), ("--gpus-per-trial", "GPU", self.gpus))
            if asked > cluster.get(name, 0)
        ]
        if faults:
            raise UsageError("\n".join(faults))


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


def gpu_shares(gpus: float) -> dict[str, float]:
    """The GPUs that Ray gave this process: UUID to share."""
    if gpus <= 0:
        return {}
    import torch

    count = torch.cuda.device_count()
    uuids = [f"GPU-{torch.cuda.get_device_properties(index).uuid}" for index in range(count)]
    return {uuid: min(1.0, gpus) for uuid in uuids}
