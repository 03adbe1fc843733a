"""Roofline of a training step: the least time that arithmetic and memory take at the rates this machine can reach."""

import time
from collections.abc import Callable
from typing import Any

import torch

from kdtune.artifacts.training_context import TrainingContext
from kdtune.energy.operation_counts import count_operations


def roofline(
    context: TrainingContext, batch: int, step_s: dict[str, float], device: torch.device, *, small: bool = False
) -> dict[str, Any]:
    """Return the times that arithmetic and memory would take, and the fraction of that rate which each way reaches.

    Args:
        context: The study's training context, for its networks.
        batch: Images per step.
        step_s: Seconds per step of each way, by name. A way whose name contains ``replayed`` has no teacher in its
            steps; one with ``bfloat16`` in its name has that precision, all others float32.
        device: Device of the steps.
        small: Whether to measure the ceilings with little data, as a smoke test does; they mean nothing then.
    """
    student, teacher = context.untrained_student(), context.untrained_teacher()
    flops = {
        False: 2 * batch * (3 * count_operations(student, 3, 32, 32).macs + count_operations(teacher, 3, 32, 32).macs),
        True: 2 * batch * 3 * count_operations(student, 3, 32, 32).macs,
    }
    values = {
        False: _values(student, batch) * 5 + _values(teacher, batch) * 2,
        True: _values(student, batch) * 5,
    }
    ceilings = {
        "float32_flops_per_s": _matmul_flops_per_s(torch.float32, device, small=small),
        "bfloat16_flops_per_s": _matmul_flops_per_s(torch.bfloat16, device, small=small),
        "bytes_per_s": _bytes_per_s(device, small=small),
    }
    ways = {}
    for name, seconds in step_s.items():
        replays, precise = "replayed" in name, "bfloat16" not in name
        arithmetic_s = flops[replays] / ceilings["float32_flops_per_s" if precise else "bfloat16_flops_per_s"]
        memory_s = values[replays] * (4 if precise else 2) / ceilings["bytes_per_s"]
        ways[name] = {
            "arithmetic_s": arithmetic_s,
            "memory_s": memory_s,
            "fraction_reached": max(arithmetic_s, memory_s) / seconds,
        }
    return {
        "how": "FLOPs are counted by fvcore, a backward pass as two forward passes. Memory traffic: each layer's "
        "output is written and read once in the forward pass; in the student's backward pass it is read once more, and "
        "its gradient is written and read. The ceilings are measured.",
        "ceilings": ceilings,
        "ways": ways,
    }


def _values(model: torch.nn.Module, batch: int) -> int:
    """Return how many numbers all layers of a network output for a batch."""
    counted = []
    hooks = [
        module.register_forward_hook(lambda module, given, out: counted.append(out.numel()))
        for module in model.modules()
        if not list(module.children())
    ]
    with torch.no_grad():
        model(torch.zeros(batch, 3, 32, 32, device=next(model.parameters()).device))
    for hook in hooks:
        hook.remove()
    return sum(counted)


def _matmul_flops_per_s(dtype: torch.dtype, device: torch.device, *, small: bool) -> float:
    size = 128 if small else 8192 if device.type == "cuda" else 2048
    one, other = (torch.randn(size, size, device=device).to(dtype) for _ in range(2))
    return 2 * size**3 / _best_s(lambda: one @ other, device)


def _bytes_per_s(device: torch.device, *, small: bool) -> float:
    source = torch.zeros(2**16 if small else 2**26, device=device)
    target = torch.empty_like(source)
    return 2 * source.nbytes / _best_s(lambda: target.copy_(source), device)


def _best_s(action: Callable[[], object], device: torch.device) -> float:
    found = []
    for _ in range(6):
        began_s = time.perf_counter()
        action()
        if device.type == "cuda":
            torch.cuda.synchronize()
        found.append(time.perf_counter() - began_s)
    return min(found)
