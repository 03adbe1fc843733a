"""What Ray gave a worker, and what a cluster has."""

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


def gpu_shares(gpus: float) -> dict[str, float]:
    """The GPUs that Ray gave this process: UUID to share."""
    if gpus <= 0:
        return {}
    import torch

    count = torch.cuda.device_count()
    uuids = [f"GPU-{torch.cuda.get_device_properties(index).uuid}" for index in range(count)]
    return {uuid: min(1.0, gpus) for uuid in uuids}
