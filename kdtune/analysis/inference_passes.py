"""Metered passes of networks over the test images.

The networks take turns, so that a temporary disturbance or slowdown of the machine affects all of them alike.
"""

import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch

from kdtune.artifacts.teacher import load_teacher
from kdtune.artifacts.training_context import TrainingContext
from kdtune.data.batches import ImageSet
from kdtune.energy.ledger import Window
from kdtune.energy.meter import Meter
from kdtune.errors import ResultsError
from kdtune.tasks.task import Metrics, Task
from kdtune.training.numerics import Arithmetic

#: Minimum number of turns of each network, unless a pass takes longer than a turn. Their spread shows the precision of
#: a measurement.
TURNS = 5


@dataclass(frozen=True)
class Turn:
    """Consecutive passes of one network.

    Attributes:
        window: Id of the window in the ledger.
        passes: Number of passes.
        wall_s: Duration of the passes, in seconds.
    """

    window: str
    passes: int
    wall_s: float


@torch.inference_mode()
def predict(
    task: Task, model: torch.nn.Module, images: ImageSet, arithmetic: Arithmetic, batch_size: int
) -> torch.Tensor:
    """Predict for all images, including their normalisation, as a user of the network would.

    Args:
        task: Task for which the network was trained.
        model: Network that maps images to outputs, in inference mode.
        images: Images to predict for.
        arithmetic: Precision and memory layout.
        batch_size: Images per batch; the last batch may have fewer.

    Returns:
        Predictions on the CPU, so that the computation has finished.
    """
    batches = images.in_order(batch_size)
    return torch.cat([task.predict(arithmetic.logits(model, batch)) for batch, _ in batches]).cpu()


def metrics_of(
    task: Task, model: torch.nn.Module, images: ImageSet, arithmetic: Arithmetic, batch_size: int
) -> Metrics:
    """Return the metrics of a network, the objective among them. The pass also warms up the network."""
    return task.metrics(predict(task, model, images, arithmetic, batch_size), images)


def take_turns(
    task: Task,
    networks: Mapping[str, torch.nn.Module],
    images: ImageSet,
    arithmetic: Arithmetic,
    batch_size: int,
    seconds: float,
    meter: Meter,
    cpus: float,
    gpus: Mapping[str, float],
) -> dict[str, list[Turn]]:
    """Predict for all images repeatedly with networks that take turns, and meter each turn in a separate window.

    Args:
        task: Task for which the networks were trained.
        networks: Warmed-up networks by name, in inference mode.
        images: Images to predict for.
        arithmetic: Precision and memory layout.
        batch_size: Images per batch.
        seconds: Minimum total time of each network; the last pass may exceed it.
        meter: A running meter.
        cpus: Number of cores in use, for the windows.
        gpus: GPUs in use: UUID to share.
    """
    turns: dict[str, list[Turn]] = {name: [] for name in networks}
    while due := [name for name, taken in turns.items() if sum(turn.wall_s for turn in taken) < seconds]:
        for name in due:
            window = f"{name}-{meter.id}/{len(turns[name]) + 1}"
            meter.open(Window(window, "evaluation", os.getpid(), cpus, dict(gpus)))
            passes, began_s = 0, time.perf_counter()
            while not passes or time.perf_counter() - began_s < seconds / TURNS:
                predict(task, networks[name], images, arithmetic, batch_size)
                passes += 1
            turns[name].append(Turn(window, passes, time.perf_counter() - began_s))
            meter.close(window, "done")
    return turns


def ready_teacher(context: TrainingContext, folder: Path) -> torch.nn.Module:
    """Return the teacher from a folder of the cache, frozen.

    Raises:
        KdtuneError: The teacher cannot be read.
    """
    model = context.untrained_teacher()
    load_teacher(model, context.study, folder)
    return model


def ready_student(context: TrainingContext, file: Path) -> torch.nn.Module:
    """Return a strategy's student, frozen.

    Raises:
        ResultsError: The file cannot be read as the student's weights.
    """
    try:
        return context.student(torch.load(file, map_location="cpu", weights_only=True))
    except Exception as error:  # the unpickler and the network raise all kinds of errors, some with long messages
        reason = f"{type(error).__name__}: {next(iter(str(error).splitlines()), '')}"
        raise ResultsError(
            f"{file}: cannot be read as weights of {context.study.student} ({reason}); replace it with an intact copy"
        ) from None


def parameters(model: torch.nn.Module) -> int:
    """Return the number of a network's trainable parameters."""
    return sum(parameter.numel() for parameter in model.parameters())
