"""Settings of an inference measurement: device, threads, batch size and sensors."""

from dataclasses import dataclass

from kdtune.analysis.finished_strategies import FinishedStrategy
from kdtune.energy.sensors.node import Hardware, NodeSensors
from kdtune.errors import UsageError
from kdtune.planning.resources import Resources, gpu_shares
from kdtune.planning.usable_cores import usable_cores

DEVICES = ("cpu", "cuda")


@dataclass(frozen=True)
class InferenceSetting:
    """Settings of one measurement.

    Attributes:
        batch_size: Images per batch.
        seconds: Minimum total time of each network.
        device: ``cpu`` or ``cuda``.
        device_name: Model name of the device.
        resources: Cores and GPUs in use.
        gpus: GPUs in use: UUID to share.
        sensors: Energy sensors of this machine.
        hardware: Description of this machine.
    """

    batch_size: int
    seconds: float
    device: str
    device_name: str
    resources: Resources
    gpus: dict[str, float]
    sensors: NodeSensors
    hardware: Hardware


def check_arguments(batch_size: int, seconds: float, cpus: int | None, device: str | None) -> None:
    """Check the arguments of ``measure_inference``.

    Raises:
        UsageError: An argument is invalid. The message names all invalid ones.
    """
    cores = usable_cores()
    faults = []
    if batch_size < 1:
        faults.append(f"--batch-size: must be at least 1, got {batch_size}")
    if not 0 < seconds < float("inf"):
        faults.append(f"--seconds: must be a finite number above 0, got {seconds:g}")
    if cpus is not None and not 1 <= cpus <= cores:
        faults.append(f"--cpus: must be between 1 and {cores}, the cores of this machine, got {cpus}")
    if device is not None and device not in DEVICES:
        faults.append(f"--device: unknown device {device!r}; known: {', '.join(DEVICES)}")
    if faults:
        raise UsageError("\n".join(faults))


def setting_of(
    one: FinishedStrategy,
    batch_size: int,
    seconds: float,
    cpus: int | None,
    device: str | None,
    sensors: NodeSensors,
    hardware: Hardware,
) -> InferenceSetting:
    """Return the settings for the measurement of a strategy; see ``measure_inference`` for the arguments.

    Raises:
        UsageError: There is no usable GPU, or ``device`` is None and the study ran on another machine.
    """
    import torch

    wanted = device or ("cuda" if one.resolved.gpus_per_trial else "cpu")
    if wanted == "cuda" and not torch.cuda.is_available():
        cause = f"--device {device}" if device else f"{one.folder.path}: ran on a GPU"
        raise UsageError(f"{cause}: torch cannot use a GPU here; see 'kdtune doctor', or give --device cpu")
    if wanted == "cuda":
        here, there = torch.cuda.get_device_name(0), {one.resolved.versions["device"]}
    else:
        here, there = hardware.cpu_model, {node.cpu_model for node in one.result.cost.hardware}
    if device is None and there and here not in there:
        raise UsageError(
            f"{one.folder.path}: ran on {', '.join(sorted(there))}, but this machine has {here}; to measure here "
            f"anyway, give --device {wanted}"
        )
    return InferenceSetting(
        batch_size=batch_size,
        seconds=seconds,
        device=wanted,
        device_name=here,
        resources=Resources(cpus or one.resolved.cpus_per_trial, 1.0 if wanted == "cuda" else 0.0),
        gpus=gpu_shares(1.0 if wanted == "cuda" else 0.0),
        sensors=sensors,
        hardware=hardware,
    )
