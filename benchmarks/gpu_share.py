"""Measurement of how much of a GPU a single training leaves unused.

Several trainings run on the GPU at the same time: in processes, in processes under NVIDIA's multi-process service
(MPS), and in streams of one process. Each training is a whole-step graph in bfloat16 with replayed logits, which needs
the host least.
"""

import multiprocessing
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import torch

from benchmarks.gpu_benches import context_of, endless_steps, study_of, training_of
from benchmarks.gpu_step import BFLOAT16
from benchmarks.record import print_progress
from kdtune.artifacts.training_context import TrainingContext
from kdtune.specs.numerics import Numerics

#: Numbers of concurrent trainings, and the steps of each; then for a smoke test.
COUNTS, STEPS = (1, 2, 4, 8), 200
SMOKE_COUNTS, SMOKE_STEPS = (1,), 3

#: Number of consecutive trainings during which memory should not grow, and the steps of each.
TRIALS, TRIAL_STEPS = 20, 20

#: Time in seconds after which waiting for processes is given up.
PATIENCE_S = 150.0

MPS = "nvidia-cuda-mps-control"


def run(device: torch.device, *, synthetic: bool, smoke: bool) -> dict[str, Any]:
    """Time concurrent trainings.

    Args:
        device: A GPU, or a CPU in a smoke test.
        synthetic: Whether to use random images.
        smoke: Whether to take only a few steps with small networks.
    """
    counts, steps = (SMOKE_COUNTS, SMOKE_STEPS) if smoke else (COUNTS, STEPS)
    under_mps: dict[str, Any] | None = None
    alone = {str(count): _in_processes(count, steps, synthetic=synthetic, smoke=smoke) for count in counts}
    if device.type == "cuda" and shutil.which(MPS):
        with _mps():
            under_mps = {str(count): _in_processes(count, steps, synthetic=synthetic, smoke=smoke) for count in counts}
    context = _bench(device, synthetic=synthetic, smoke=smoke)
    return {
        "steps_each": steps,
        "steps_per_s": {
            "processes": alone,
            "processes_under_mps": under_mps,
            "streams": {str(count): _in_streams(context, count, steps) for count in counts},
        },
        "memory_bytes_after_each_trial": _memory(context, SMOKE_STEPS if smoke else TRIAL_STEPS),
    }


def _bench(device: torch.device, *, synthetic: bool, smoke: bool) -> TrainingContext:
    numerics = Numerics(**BFLOAT16, compile="graph")
    return context_of(study_of(smoke=smoke), numerics, "replay", device, synthetic=synthetic)


def _in_processes(count: int, steps: int, *, synthetic: bool, smoke: bool) -> float | None:
    """Return the steps per second of all processes together; None if one of them failed."""
    print_progress(f"{count} processes")
    mp_context = multiprocessing.get_context("spawn")
    barrier, spans = mp_context.Barrier(count), mp_context.Queue()
    processes = [
        mp_context.Process(target=_process, args=(barrier, spans, steps, synthetic, smoke), daemon=True)
        for _ in range(count)
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join(PATIENCE_S)
        process.kill()
    if any(process.exitcode for process in processes) or spans.empty():
        return None
    found = [spans.get(timeout=5) for _ in processes]
    return count * steps / (max(ended_s for _, ended_s in found) - min(began_s for began_s, _ in found))


def _process(barrier: Any, spans: Any, steps: int, synthetic: bool, smoke: bool) -> None:
    device = torch.device("cuda", 0) if torch.cuda.is_available() else torch.device("cpu")
    torch.set_num_threads(1)
    context = _bench(device, synthetic=synthetic, smoke=smoke)
    training_of(context).warm_up()
    taken = endless_steps(training_of(context))
    next(taken)
    _wait(device)
    barrier.wait(PATIENCE_S)
    began_s = time.monotonic()  # all processes share this clock
    for _ in range(steps):
        next(taken)
    _wait(device)
    spans.put((began_s, time.monotonic()))


def _in_streams(context: TrainingContext, count: int, steps: int) -> float:
    """Return the steps per second of several trainings in one process, each with its own graphs and stream."""
    print_progress(f"{count} streams")
    is_gpu = context.device.type == "cuda"
    taken = []
    for seed in range(count):
        own = context.with_study(context.study)  # a training context of its own captures its own steps
        training_of(own, seed).warm_up()
        stream = torch.cuda.Stream(context.device) if is_gpu else None
        _wait(context.device)
        taken.append((stream, endless_steps(training_of(own, seed))))
    for stream, steps_of in taken:
        with torch.cuda.stream(stream) if stream else nullcontext():
            next(steps_of)
    _wait(context.device)
    began_s = time.perf_counter()
    for _ in range(steps):
        for stream, steps_of in taken:
            with torch.cuda.stream(stream) if stream else nullcontext():
                next(steps_of)
    _wait(context.device)
    return count * steps / (time.perf_counter() - began_s)


def _memory(context: TrainingContext, steps: int) -> list[int] | None:
    """Return the bytes that torch has allocated on the GPU after each of several trainings; None without a GPU."""
    used = []
    for seed in range(TRIALS if context.device.type == "cuda" else 2):
        taken = endless_steps(training_of(context, seed))
        for _ in range(steps):
            next(taken)
        _wait(context.device)
        if context.device.type == "cuda":
            used.append(torch.cuda.memory_allocated(context.device))
    return used or None


@contextmanager
def _mps() -> Iterator[None]:
    """Run NVIDIA's multi-process service, which processes started inside the context use."""
    with tempfile.TemporaryDirectory() as folder:
        places = {"CUDA_MPS_PIPE_DIRECTORY": folder, "CUDA_MPS_LOG_DIRECTORY": str(Path(folder) / "log")}
        os.environ.update(places)
        try:
            subprocess.run([MPS, "-d"], check=True, timeout=30)
            yield
        finally:
            subprocess.run([MPS], input=b"quit\n", timeout=60, check=False)
            for name in places:
                del os.environ[name]


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
