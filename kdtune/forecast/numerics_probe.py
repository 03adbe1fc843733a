"""Finds out how a study's networks run fastest on this machine: a few steps under each way of computing them.

Found out once for a machine and kept in the cache, so that all commands on it compute alike.
"""

import json
import math
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from hashlib import sha256
from itertools import count, islice, product
from pathlib import Path
from typing import Any, get_args

import torch

from kdtune.artifacts.workbench import Workbench
from kdtune.errors import CompileError, KdtuneError
from kdtune.forecast.graph_check import STEPS, TOLERANCE, loss_difference
from kdtune.specs.study import Numerics
from kdtune.storage.checksums import sealed, unsealed
from kdtune.storage.files import alone_in, read_whole, write_json
from kdtune.storage.parsing import parse_json
from kdtune.storage.paths import cache_dir
from kdtune.training.distiller import WARM_UP_STEPS, Distiller
from kdtune.training.numerics import ARITHMETIC, device_name
from kdtune.training.resolution import representative_recipe

#: Multiply-adds of both networks for one image below which nothing is tried: there is too little to win.
SMALL_MACS = 20_000_000

#: A way that is not the plain one has to be faster by this factor: a probe is short, and plain is exact.
MARGIN = 1.1

#: Images of a step on a CPU, where a whole batch would take seconds.
CPU_BATCH = 32

#: Rounds in which every way is timed once; the best time of each counts. More are taken while a second look at a way
#: tells another time, for then the machine is busy, but not for ever.
ROUNDS, MOST_ROUNDS = 3, 9

#: By how much a way's two best times may differ: less than the margin, or the margin would tell nothing.
STEADY = 1.05

#: Images that a worker trains on in all from which on compiling on a GPU, which takes a minute or so, is tried.
LONG_IMAGES = 2_500_000

#: Gives up what cannot be computed in a way that is tried; torch's compiler also fails with the two in the middle.
_FAILURES = (RuntimeError, NotImplementedError, TypeError, AssertionError, ImportError, CompileError)


def resolve_numerics(bench: Workbench, trainings: float) -> tuple[Numerics, tuple[str, ...]]:
    """How a study's trainings are to be computed, nothing left open; and what the user should know about it.

    Args:
        bench: Of the study, on the device on which its trainings run; its logit mode is settled.
        trainings: That a worker does one after the other, and compiles for once.

    Raises:
        KdtuneError: Nothing that the study allows can be computed here.
    """
    wanted = bench.study.numerics
    if wanted.is_resolved:
        return wanted, ()
    if not _is_large(bench):
        return wanted.resolved(), ()
    is_long = trainings * bench.study.training.epochs * len(bench.splits.train) >= LONG_IMAGES
    path = _kept(bench, is_long)
    with alone_in(path.parent):  # two probes at once would disturb each other
        with suppress(OSError, ValueError, KeyError, TypeError):  # absent or damaged: it is found out again
            kept = unsealed(parse_json(read_whole(path)))
            if kept["is_steady"]:
                return Numerics(**kept["fastest"]), tuple(kept.get("remarks", ()))
        seconds = _probe(bench, is_long)
        remarks: tuple[str, ...] = ()
        if wanted.compile == "auto" and _has_graphs(bench.device):
            captured, remarks = _timed_graphs(bench, is_long, seconds)
            seconds |= captured
        fastest = _fastest(seconds, wanted.resolved())
        step_s = {_label(way): found for way, found in seconds.items()}
        steady = all(map(_is_steady, seconds.values()))
        write_json(
            path, sealed({"fastest": fastest.model_dump(), "is_steady": steady, "step_s": step_s, "remarks": remarks})
        )
    return fastest, remarks


def _is_large(bench: Workbench) -> bool:
    sizes = bench.workload()
    return sizes.teacher_macs + sizes.student_macs >= SMALL_MACS


def _kept(bench: Workbench, is_long: bool) -> Path:
    study = bench.study
    depends_on: list[Any] = [
        ARITHMETIC,
        study.teacher,
        study.student,
        list(bench.splits.train.images.shape[1:]),
        bench.num_classes,
        study.training.batch_size,
        study.teacher_logits,
        study.numerics.model_dump(),
        is_long,
        bench.threads if bench.device.type == "cpu" else None,
        device_name(bench.device),
        str(torch.__version__),
        *(["graphs"] if _has_graphs(bench.device) else []),
    ]
    key = sha256(json.dumps(depends_on).encode()).hexdigest()[:16]
    return cache_dir() / "numerics" / f"{study.teacher}-{study.student}-{key}.json"


def _probe(bench: Workbench, is_long: bool) -> dict[Numerics, list[float]]:
    """Seconds of steps, in each way that the study allows and that can be computed here.

    Raises:
        KdtuneError: There is none.
    """
    seconds = _timed(bench, _ways(bench.study.numerics))
    if bench.study.numerics.compile == "auto" and is_long and bench.device.type == "cuda":
        fastest = _fastest(seconds, bench.study.numerics.resolved())
        with suppress(KdtuneError):
            seconds |= _timed(bench, [fastest.model_copy(update={"compile": "on"})])
    return seconds


def _has_graphs(device: torch.device) -> bool:
    return device.type == "cuda"


def _timed_graphs(
    bench: Workbench, is_long: bool, eager: dict[Numerics, list[float]]
) -> tuple[dict[Numerics, list[float]], tuple[str, ...]]:
    """Seconds of captured steps in each way whose losses equal the eager ones; and why none is used, if so."""
    proven, problems = [], []
    for way in _graph_ways(bench.study.numerics, is_long):
        try:
            difference = loss_difference(bench, way)
        except _FAILURES as error:
            problems.append(f"{_label(way)}: {_first_line(error)}")
            continue
        if difference <= TOLERANCE[way.precision]:
            proven.append(way)
        else:
            problems.append(
                f"{_label(way)}: within {STEPS} steps a loss or an answer differs from the eager one by a fraction of "
                f"{difference:.2g} ({TOLERANCE[way.precision]:g} is allowed)"
            )
    seconds: dict[Numerics, list[float]] = {}
    try:
        seconds = _timed(bench, proven) if proven else {}
    except KdtuneError as error:
        problems.append(str(error))
    if seconds and _fastest(eager | seconds, bench.study.numerics.resolved()).captures_steps:
        return seconds, ()
    problems += [f"captured steps are not the fastest by a factor of {MARGIN:g}"] if seconds else []
    return {}, (f"training steps are not captured as CUDA graphs but taken one by one: {'; '.join(problems)}",)


def _graph_ways(wanted: Numerics, is_long: bool) -> list[Numerics]:
    """Ways that capture steps: the plainest and the fastest arithmetic that a study allows, compiled where it pays."""
    allowed = _ways(wanted)
    arithmetics = [allowed[0], allowed[-1]] if len(allowed) > 1 else allowed
    kinds = ["graph", "compiled_graph"] if is_long else ["graph"]
    return [way.model_copy(update={"compile": kind}) for way in arithmetics for kind in kinds]


def _ways(wanted: Numerics) -> list[Numerics]:
    """What a study allows; whether compiling is faster is tried with the fastest of it alone."""
    open_fields = {
        name: [value for value in get_args(Numerics.model_fields[name].annotation) if value != "auto"]
        for name in ("precision", "memory_layout")
        if getattr(wanted, name) == "auto"
    }
    return [
        wanted.model_copy(update=dict(zip(open_fields, values, strict=True))).resolved()
        for values in product(*open_fields.values())
    ]


def _timed(bench: Workbench, ways: list[Numerics]) -> dict[Numerics, list[float]]:
    steps, failures = {}, []
    for way in ways:
        try:
            steps[way] = _step_of(bench, way)
        except _FAILURES as error:
            failures.append(f"{_label(way)}: {_first_line(error)}")
    if not steps:
        raise KdtuneError(
            f"no step of {bench.study.teacher} and {bench.study.student} in batches of "
            f"{bench.study.training.batch_size} can be computed on this {bench.device.type}: {'; '.join(failures)}; "
            "give less to it (--set training.batch_size=N), or say how to compute in [numerics]"
        )
    found: dict[Numerics, list[float]] = {way: [] for way in steps}
    clock = _clock(bench)
    for turn in range(MOST_ROUNDS):
        if turn >= ROUNDS and all(map(_is_steady, found.values())):
            break
        for way, step in steps.items():
            began_s = clock()
            step()
            found[way].append(clock() - began_s)
    return found


def _first_line(error: Exception) -> str:
    """What an error says first; an assertion may say nothing."""
    return next(iter(str(error).strip().splitlines()), type(error).__name__)


def _is_steady(seconds: list[float]) -> bool:
    best, second = sorted(seconds)[:2]
    return second <= STEADY * best


def _clock(bench: Workbench) -> Callable[[], float]:
    """Tells seconds: of the CPU where one thread does all of it, for those do not depend on what runs beside it."""
    if bench.device.type == "cuda":

        def when_done() -> float:
            torch.cuda.synchronize(bench.device)
            return time.perf_counter()

        return when_done
    return time.process_time if bench.threads == 1 else time.perf_counter


def _step_of(bench: Workbench, way: Numerics) -> Callable[[], object]:
    """A step as the study's trainings will take it, of a training that has done what is slow the first time.

    Raises:
        RuntimeError: It cannot be computed so; NotImplementedError and TypeError too.
    """
    study = bench.study
    size = study.training.batch_size if bench.device.type == "cuda" else min(CPU_BATCH, study.training.batch_size)
    training = study.training.model_copy(update={"batch_size": size})
    own = bench.sharing(study.model_copy(update={"numerics": way, "training": training}))
    recipe = representative_recipe(own.study, with_teacher=True)
    steps = _whole_steps(own.training(recipe, study.seed, own.stand_in()))
    for _ in range(1 if way.compile == "off" and bench.device.type == "cpu" else WARM_UP_STEPS):
        next(steps)
    return lambda: next(steps)


def _whole_steps(distiller: Distiller) -> Iterator[torch.Tensor]:
    """Steps for ever, without the last one of an epoch where its batch has another size than the first."""
    sizes = distiller.batch_sizes
    for _ in count():
        yield from islice(distiller.steps(), sizes.count(sizes[0]))


def _fastest(seconds: dict[Numerics, list[float]], plain: Numerics) -> Numerics:
    """The fastest way, if it is faster than the plain one by a margin."""
    best = {way: min(found) for way, found in seconds.items()}
    fastest = min(best, key=lambda way: best[way])
    return fastest if best[fastest] * MARGIN <= best.get(plain, math.inf) else plain


def _label(way: Numerics) -> str:
    how = (["compiled"] if way.uses_compiler else []) + (["captured"] if way.captures_steps else [])
    return " ".join([way.precision, way.memory_layout, *how])
