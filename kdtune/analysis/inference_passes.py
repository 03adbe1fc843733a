"""What networks take in use: whole passes over the test images under the meter, the networks taking turns.

By turns, so that a machine that slows down or is disturbed for a while does so to all of them alike.
"""

import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch

from kdtune.artifacts.teacher import load_teacher
from kdtune.artifacts.workbench import Workbench
from kdtune.data.batches import ImageSet
from kdtune.energy.ledger import Window
from kdtune.energy.meter import Meter
from kdtune.errors import ResultsError
from kdtune.tasks.task import Task
from kdtune.training.numerics import Arithmetic

#: Turns that each network gets at least, unless a pass takes longer than a turn: their spread says how well a figure
#: is known.
TURNS = 5


@dataclass(frozen=True)
class Turn:
    """Some passes of a network in one go.

    Attributes:
        window: Its id in the ledger.
        passes: How many.
        wall_s: How long they took.
    """

    window: str
    passes: int
    wall_s: float


@torch.inference_mode()
def predict(
    task: Task, model: torch.nn.Module, images: ImageSet, arithmetic: Arithmetic, batch_size: int
) -> torch.Tensor:
    """One pass over all images, their normalisation included: what a user of the network would run.

    Args:
        task: What the network was trained for.
        model: From images to outputs, in inference mode.
        images: Of which something is predicted.
        arithmetic: Precision and memory layout.
        batch_size: Images at a time; the last batch may have fewer.

    Returns:
        Predictions on the CPU: an answer that is still on its way is none.
    """
    batches = images.in_order(batch_size)
    return torch.cat([task.predict(arithmetic.logits(model, batch)) for batch, _ in batches]).cpu()


def accuracy(
    task: Task, model: torch.nn.Module, images: ImageSet, arithmetic: Arithmetic, batch_size: int
) -> float | None:
    """The accuracy of a network, a fraction; None where the task has none. Also warms the network up."""
    return task.metrics(predict(task, model, images, arithmetic, batch_size), images).get("accuracy")


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
    """Let warmed-up networks predict for all images again and again, each turn in a window of its own.

    Args:
        task: What the networks were trained for.
        networks: By name, in inference mode.
        images: Of which something is predicted.
        arithmetic: Precision and memory layout.
        batch_size: Images at a time.
        seconds: That each network has to run in all; it may take longer by a pass.
        meter: That counts already.
        cpus: Cores that are used, for the windows.
        gpus: GPUs that are used: UUID to share.
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


@contextmanager
def threads_kept() -> Iterator[None]:
    """Afterwards torch has as many CPU threads as before."""
    before = torch.get_num_threads()
    try:
        yield
    finally:
        torch.set_num_threads(before)


def ready_teacher(bench: Workbench, folder: Path) -> torch.nn.Module:
    """The teacher in a folder of the cache, frozen.

    Raises:
        KdtuneError: It cannot be read.
    """
    model = bench.untrained_teacher()
    load_teacher(model, bench.study, folder)
    return model


def ready_student(bench: Workbench, file: Path) -> torch.nn.Module:
    """A strategy's student, frozen.

    Raises:
        ResultsError: The file cannot be read as its weights.
    """
    try:
        model = bench.student(torch.load(file, map_location="cpu", weights_only=True))
    except Exception as error:  # whatever the unpickler and the network stumble over, over many lines
        reason = f"{type(error).__name__}: {next(iter(str(error).splitlines()), '')}"
        raise ResultsError(
            f"{file}: not readable as weights of {bench.study.student} ({reason}); put a copy of it in its place"
        ) from None
    return bench.arithmetic.freeze(model)


def parameters(model: torch.nn.Module) -> int:
    """How many numbers a network has learnt."""
    return sum(parameter.numel() for parameter in model.parameters())
