"""Comparison of all variants of a training step: time of host and GPU, number of kernels, and the roofline.

The variants (called ways) are timed alternately in one process on one GPU.
"""

import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from statistics import median
from typing import Any

import torch

from benchmarks.gpu_benches import BATCH, SMOKE_BATCH, context_of, endless_steps, study_of, training_of
from benchmarks.record import print_progress
from benchmarks.roofline import roofline
from kdtune.artifacts.training_context import TrainingContext
from kdtune.errors import KdtuneError
from kdtune.specs.numerics import Numerics
from kdtune.specs.study import Study
from kdtune.training.compiled_networks import Compiler

#: Rounds, and steps of each way that are timed in a round, at least 100 in total; then for a smoke test.
TURNS, STEPS = 5, 40
SMOKE_TURNS, SMOKE_STEPS = 2, 3

#: Number of steps whose kernels are counted.
PROFILED = 5

FLOAT32 = {"precision": "float32", "memory_layout": "contiguous"}
BFLOAT16 = {"precision": "bfloat16", "memory_layout": "channels_last"}

#: Ways by name: precision and memory layout, ``numerics.compile``, and whether the compiler captures a CUDA graph of
#: each pass.
WAYS: dict[str, tuple[dict[str, str], str, bool]] = {
    "eager float32": (FLOAT32, "off", False),
    "eager bfloat16": (BFLOAT16, "off", False),
    "compiled bfloat16": (BFLOAT16, "on", False),
    "reduce-overhead bfloat16": (BFLOAT16, "on", True),
    "whole-step graph float32": (FLOAT32, "graph", False),
    "whole-step graph bfloat16": (BFLOAT16, "graph", False),
    "whole-step graph, compiled bfloat16": (BFLOAT16, "compiled_graph", False),
}


@dataclass
class Way:
    """A variant of a training step, warmed up.

    Attributes:
        steps: Takes a step whenever the next item is requested; has no end.
        prepared_s: Seconds for the first steps and an evaluation, with compiling, capturing and choosing kernels.
        graph_skips: CUDA graphs that the compiler refused to capture; None if it was not told to capture any.
        kernels: Kernels launched on the GPU per step; None without a GPU.
        turns: Milliseconds per step in each round: ``wall_ms``, ``host_ms`` (until the host has launched the step) and
            ``device_ms`` (between events on the GPU; None without a GPU).
    """

    steps: Iterator[torch.Tensor]
    prepared_s: float
    graph_skips: int | None
    kernels: float | None = None
    turns: list[dict[str, float | None]] = field(default_factory=list)


def run(device: torch.device, *, synthetic: bool, smoke: bool) -> dict[str, Any]:
    """Time all ways.

    Args:
        device: A GPU, or a CPU in a smoke test.
        synthetic: Whether to use random images.
        smoke: Whether to take only a few steps with small networks, without compiling.
    """
    study, ways, failures = study_of(smoke=smoke), {}, {}
    for name, (arithmetic, compiling, graphs) in WAYS.items():
        if smoke and ("compiled" in name or compiling == "on"):
            continue
        for mode, mode_name in (("live", "live"), ("replay", "replayed")):
            print_progress(f"preparing {name}, {mode_name}")
            numerics = Numerics(**arithmetic, compile=compiling)
            try:
                context = context_of(study, numerics, mode, device, synthetic=synthetic)
                if compiling == "on":
                    context.compiler = Compiler(device, graphs=graphs)
                ways[f"{name}, {mode_name}"] = _prepared(context, counts_skips=graphs)
            except (RuntimeError, KdtuneError, AssertionError, ImportError) as error:
                failures[f"{name}, {mode_name}"] = str(error).strip()[:500]
    turns, steps = (SMOKE_TURNS, SMOKE_STEPS) if smoke else (TURNS, STEPS)
    for turn in range(turns):
        names = list(ways)[turn % len(ways) :] + list(ways)[: turn % len(ways)]  # each round has another order
        for name in names:
            ways[name].turns.append(_turn(ways[name], steps, device))
    for way in ways.values():
        way.kernels = _kernels(way, device)
    plain = context_of(study, Numerics(**FLOAT32, compile="off"), "live", device, synthetic=synthetic)
    return _results(plain, study, ways, failures, turns * steps, device, smoke=smoke)


def _prepared(context: TrainingContext, *, counts_skips: bool) -> Way:
    skips_before = _graph_skips() if counts_skips else 0
    began_s = time.perf_counter()
    training_of(context).warm_up()
    _wait(context.device)
    steps = endless_steps(training_of(context, seed=1))
    next(steps)
    _wait(context.device)
    skips = _graph_skips() - skips_before if counts_skips else None
    return Way(steps, time.perf_counter() - began_s, skips)


def _graph_skips() -> int:
    from torch._dynamo.utils import counters

    return int(counters["inductor"]["cudagraph_skips"])


def _turn(way: Way, steps: int, device: torch.device) -> dict[str, float | None]:
    next(way.steps)  # the first step after a pause is slower
    _wait(device)
    is_gpu = device.type == "cuda"
    events = [torch.cuda.Event(enable_timing=True) for _ in range(2)] if is_gpu else []
    began_s = time.perf_counter()
    if events:
        events[0].record()
    for _ in range(steps):
        next(way.steps)
    if events:
        events[1].record()
    host_s = time.perf_counter() - began_s
    _wait(device)
    wall_s = time.perf_counter() - began_s
    device_ms = events[0].elapsed_time(events[1]) / steps if events else None
    return {"wall_ms": 1e3 * wall_s / steps, "host_ms": 1e3 * host_s / steps, "device_ms": device_ms}


def _kernels(way: Way, device: torch.device) -> float | None:
    """Return the number of kernels per step on the GPU, including those that a graph replays; None without a GPU."""
    if device.type != "cuda":
        return None
    from torch.profiler import ProfilerActivity, profile

    with profile(activities=[ProfilerActivity.CUDA]) as profiled:
        for _ in range(PROFILED):
            next(way.steps)
        torch.cuda.synchronize(device)
    launched = [one for one in profiled.events() if one.device_type == torch.autograd.DeviceType.CUDA]
    return len(launched) / PROFILED


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def _results(
    context: TrainingContext,
    study: Study,
    ways: dict[str, Way],
    failures: dict[str, str],
    steps: int,
    device: torch.device,
    *,
    smoke: bool,
) -> dict[str, Any]:
    batch = SMOKE_BATCH if smoke else BATCH
    wall_s = {name: median(turn["wall_ms"] or 0.0 for turn in way.turns) / 1e3 for name, way in ways.items()}
    return {
        "teacher": study.teacher.name,
        "student": study.student.name,
        "batch": batch,
        "steps_each": steps,
        "ways": {
            name: {
                "median": {key: _median([turn[key] for turn in way.turns]) for key in way.turns[0]},
                "turns": way.turns,
                "prepared_s": way.prepared_s,
                "kernels_a_step": way.kernels,
                "graph_skips": way.graph_skips,
            }
            for name, way in ways.items()
        },
        "failed": failures,
        "roofline": roofline(context, batch, wall_s, device, small=smoke),
        "peak_memory_bytes": torch.cuda.max_memory_allocated(device) if device.type == "cuda" else None,
    }


def _median(values: list[float | None]) -> float | None:
    measured = [value for value in values if value is not None]
    return median(measured) if measured else None
