"""Finds out how a study's networks run fastest on this machine: a few steps under each way of computing them.

Found out once for a machine and kept in the cache, so that all commands on it compute alike.
"""

import json
import math
import time
from collections.abc import Callable
from contextlib import suppress
from hashlib import sha256
from itertools import chain, count, product
from pathlib import Path
from typing import Any

import torch

from kdtune.distill.recipe import student_recipe
from kdtune.distill.teacher_logits import LiveTeacher
from kdtune.distill.workbench import Workbench
from kdtune.energy.flops import macs
from kdtune.files import read_whole, write_json
from kdtune.parsing import parse_json
from kdtune.paths import cache_dir
from kdtune.sealing import sealed, unsealed
from kdtune.specs.study import PLAIN, Numerics

#: Multiply-adds of both networks for one image below which nothing is tried: there is too little to win.
SMALL_MACS = 20_000_000

#: A way that is not the plain one has to be faster by this factor: a probe is short, and plain is exact.
MARGIN = 1.1

#: Images of a step on a CPU, where a whole batch would take seconds.
CPU_BATCH = 32

#: Rounds in which every way is timed once; the best time of each counts.
ROUNDS = 3

#: Steps of a training on a GPU from which on compiling, which takes a minute or so, is tried.
LONG_STEPS = 20_000

#: Gives up what cannot be computed in a way that is tried.
_FAILURES = (RuntimeError, NotImplementedError, TypeError)


def resolve_numerics(bench: Workbench) -> Numerics:
    """How a study's trainings are to be computed, nothing left open.

    Args:
        bench: Of the study, on the device on which its trainings run.
    """
    wanted = bench.study.numerics
    if wanted.is_resolved:
        return wanted
    if not _is_large(bench):
        return wanted.resolved()
    path = _kept(bench)
    with suppress(OSError, ValueError, KeyError, TypeError):  # absent or damaged: it is found out again
        found = Numerics(**unsealed(parse_json(read_whole(path)))["fastest"])
        if found.is_resolved:
            return wanted.resolved(found)
    seconds = _probe(bench)
    fastest = _fastest(seconds)
    path.parent.mkdir(parents=True, exist_ok=True)
    step_s = {_label(way): s for way, s in seconds.items()}
    write_json(path, sealed({"fastest": fastest.model_dump(), "step_s": step_s}))
    return wanted.resolved(fastest)


def _is_large(bench: Workbench) -> bool:
    shape = tuple(bench.splits.train.images.shape[1:])
    return macs(bench.untrained_teacher(), *shape) + macs(bench.untrained_student(), *shape) >= SMALL_MACS


def _kept(bench: Workbench) -> Path:
    study = bench.study
    depends_on: list[Any] = [
        study.teacher,
        study.student,
        list(bench.splits.train.images.shape[1:]),
        bench.num_classes,
        study.training.batch_size,
        study.training.epochs * _steps(bench) >= LONG_STEPS,
        bench.threads,
        _device_name(bench.device),
        str(torch.__version__),
    ]
    key = sha256(json.dumps(depends_on).encode()).hexdigest()[:16]
    return cache_dir() / "numerics" / f"{study.teacher}-{study.student}-{key}.json"


def _device_name(device: torch.device) -> str:
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    with suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return torch.backends.cpu.get_cpu_capability()


def _steps(bench: Workbench) -> int:
    return math.ceil(len(bench.splits.train) / bench.study.training.batch_size)


def _probe(bench: Workbench) -> dict[Numerics, float]:
    """Seconds of a step with its teacher, in each way that can be computed here."""
    ways = [
        Numerics(precision=precision, memory_layout=layout, compile="off")
        for precision, layout in product(("float32", "bfloat16"), ("contiguous", "channels_last"))
    ]
    seconds = _timed(bench, ways)
    if bench.device.type == "cuda" and bench.study.training.epochs * _steps(bench) >= LONG_STEPS:
        seconds |= _timed(bench, [_fastest(seconds).model_copy(update={"compile": "on"})])
    return seconds


def _timed(bench: Workbench, ways: list[Numerics]) -> dict[Numerics, float]:
    steps = {way: step for way in ways if (step := _step_of(bench, way))}
    best = dict.fromkeys(steps, math.inf)
    for _ in range(ROUNDS):
        for way, step in steps.items():
            best[way] = min(best[way], _seconds(step, bench.device))
    return best


def _step_of(bench: Workbench, way: Numerics) -> Callable[[], object] | None:
    """A step that was taken once already, since the first one is slow; None where it cannot be taken."""
    study = bench.study
    size = study.training.batch_size if bench.device.type == "cuda" else min(CPU_BATCH, study.training.batch_size)
    training = study.training.model_copy(update={"batch_size": size})
    own = bench.sharing(study.model_copy(update={"numerics": way, "training": training}))
    recipe = student_recipe(own.study, {"tau": study.search_space["tau"].bounds[0]})
    distiller = own.training(recipe, study.seed, LiveTeacher(own.untrained_teacher(), own.arithmetic))
    steps = chain.from_iterable(distiller.steps() for _ in count())
    try:
        next(steps)
    except _FAILURES:
        return None
    return lambda: next(steps)


def _seconds(step: Callable[[], object], device: torch.device) -> float:
    began_s = time.perf_counter()
    step()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter() - began_s


def _fastest(seconds: dict[Numerics, float]) -> Numerics:
    """The fastest way, if it is faster than the plain one by a margin."""
    fastest = min(seconds, key=lambda way: seconds[way])
    return fastest if seconds[fastest] * MARGIN <= seconds.get(PLAIN, math.inf) else PLAIN


def _label(way: Numerics) -> str:
    return " ".join([way.precision, way.memory_layout, *(["compiled"] if way.compile == "on" else [])])
