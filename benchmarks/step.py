"""A distillation step with its data, ResNet18 to MobileNetV2 on CIFAR-100: kdtune's ways beside the reference loop.

All ways take turns within one process, so that whatever else the machine does is spread over all of them.
"""

import itertools
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median
from typing import Any

import torch

from benchmarks.record import keep
from benchmarks.reference import AHEAD, WORKERS, ReferenceLoop, cifar100
from kdtune.distill.recipe import student_recipe
from kdtune.distill.teacher_logits import LiveTeacher, ReplayedTeacher, TeacherLogits
from kdtune.distill.workbench import Workbench
from kdtune.energy.flops import macs
from kdtune.specs import load_study
from kdtune.specs.study import PLAIN, Numerics

#: Turns of each way, and steps that are timed in a turn.
TURNS, STEPS = 7, 6

FAST = Numerics(precision="bfloat16", memory_layout="channels_last", compile="off")

BATCH = 128


def run() -> None:
    """Time every way, and tell ratios and how far each is from what the machine could do."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    threads = os.cpu_count() or 1
    torch.set_num_threads(threads)
    reference = ReferenceLoop(cifar100(Path(os.environ["KDTUNE_DATA_DIR"])), "resnet18", "mobilenet_v2", 100, device)
    ways: dict[str, tuple[Iterator[object], int]] = {
        # What its workers prepared while the others had their turn is used up before the clock starts.
        "reference": (_for_ever(reference.steps), WORKERS * AHEAD + 1)
    }
    plain, fast = (_bench(numerics, device, threads) for numerics in (PLAIN, FAST))
    for name, bench, replays in (
        ("plain, live", plain, False),
        ("plain, replayed", plain, True),
        ("bfloat16 channels-last, live", fast, False),
        ("bfloat16 channels-last, replayed", fast, True),
    ):
        ways[name] = _for_ever(_training(bench, replays=replays)), 1
    times: dict[str, list[float]] = {name: [] for name in ways}
    for steps, _ in ways.values():
        next(steps)  # what is slow the first time
    for _ in range(TURNS):
        for name, (steps, untimed) in ways.items():
            for _ in range(untimed):
                next(steps)
            times[name].append(_seconds(steps, device))
    whole = {name: median(found) for name, found in times.items()}
    keep(
        f"step_{device.type}",
        "python -m benchmarks step",
        {
            "batch": BATCH,
            "threads": threads,
            "step_s": {
                name: {"median": median(found), "min": min(found), "max": max(found)} for name, found in times.items()
            },
            "reference_over": {name: whole["reference"] / s for name, s in whole.items()},
            "roofline": _roofline(plain, whole, device),
        },
    )


def _bench(numerics: Numerics, device: torch.device, threads: int) -> Workbench:
    study = load_study("cifar100-hkd", overrides=["data.train_limit=8000", f"training.batch_size={BATCH}"])
    return Workbench(study.model_copy(update={"numerics": numerics}), device, threads)


def _training(bench: Workbench, *, replays: bool) -> Callable[[], Iterator[object]]:
    """A training whose teacher is not trained, which takes as long."""
    answers: TeacherLogits
    if replays:
        rows = torch.randn(len(bench.splits.train), bench.num_classes).half().to(bench.device)
        answers = ReplayedTeacher(lambda epoch: rows, bench.device)
    else:
        answers = LiveTeacher(bench.untrained_teacher(), bench.arithmetic)
    distiller = bench.training(student_recipe(bench.study, {"temperature": "stochastic"}), 0, answers)
    return distiller.steps


def _for_ever(epoch: Callable[[], Iterator[object]]) -> Iterator[object]:
    return itertools.chain.from_iterable(epoch() for _ in itertools.count())


def _seconds(steps: Iterator[object], device: torch.device) -> float:
    began_s = time.perf_counter()
    for _ in range(STEPS):
        next(steps)
    if device.type == "cuda":
        torch.cuda.synchronize()
    return (time.perf_counter() - began_s) / STEPS


def _roofline(bench: Workbench, step_s: dict[str, float], device: torch.device) -> dict[str, Any]:
    """What arithmetic and memory would take at the rates that this machine was seen to reach."""
    student, teacher = bench.untrained_student(), bench.untrained_teacher()
    flops = {
        False: 2 * BATCH * (3 * macs(student, 3, 32, 32) + macs(teacher, 3, 32, 32)),
        True: 2 * BATCH * 3 * macs(student, 3, 32, 32),
    }
    values = {False: _values(student) * 5 + _values(teacher) * 2, True: _values(student) * 5}
    ceilings = {
        "float32_flops_per_s": _matmul_flops_per_s(torch.float32, device),
        "bfloat16_flops_per_s": _matmul_flops_per_s(torch.bfloat16, device),
        "bytes_per_s": _bytes_per_s(device),
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
        "how": "FLOPs by fvcore, a backward pass as two forward ones; every layer's output written and read once "
        "forward, and for the student read once and its gradient written and read backward; measured ceilings",
        "ceilings": ceilings,
        "ways": ways,
    }


def _values(model: torch.nn.Module) -> int:
    """Numbers that the layers of a network put out for a batch."""
    counted = []
    hooks = [
        module.register_forward_hook(lambda module, given, out: counted.append(out.numel()))
        for module in model.modules()
        if not list(module.children())
    ]
    with torch.no_grad():
        model(torch.zeros(BATCH, 3, 32, 32, device=next(model.parameters()).device))
    for hook in hooks:
        hook.remove()
    return sum(counted)


def _matmul_flops_per_s(dtype: torch.dtype, device: torch.device) -> float:
    size = 8192 if device.type == "cuda" else 2048
    one, other = (torch.randn(size, size, device=device).to(dtype) for _ in range(2))
    return 2 * size**3 / _best_s(lambda: one @ other, device)


def _bytes_per_s(device: torch.device) -> float:
    source = torch.zeros(2**26, device=device)
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
