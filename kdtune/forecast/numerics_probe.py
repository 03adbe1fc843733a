"""Choice of the numerics (precision, memory layout, compilation) with which a study's networks run fastest here.

A few training steps are timed with each allowed setting. The result is kept in the cache, so that all commands on a
machine compute in the same way.
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

from kdtune.artifacts.shared_code import code_found
from kdtune.artifacts.training_context import TrainingContext
from kdtune.errors import CompileError, KdtuneError
from kdtune.forecast.graph_check import STEPS, TOLERANCE, loss_difference
from kdtune.specs.component import identity_of
from kdtune.specs.numerics import Numerics
from kdtune.storage.checksums import verified, with_checksum
from kdtune.storage.files import exclusive_lock, read_whole, write_json
from kdtune.storage.parsing import parse_json
from kdtune.storage.paths import cache_dir
from kdtune.training.distiller import WARM_UP_STEPS, Distiller
from kdtune.training.numerics import ARITHMETIC, device_name
from kdtune.training.resolution import representative_recipe

#: Multiply-adds of both networks for one image below which nothing is timed, since there is too little to gain.
SMALL_MACS = 20_000_000

#: Factor by which other numerics must be faster than the plain ones to be chosen. Plain numerics are exact, and a
#: short probe cannot resolve smaller differences.
MARGIN = 1.1

#: Images per step on a CPU, where a whole batch would take seconds.
CPU_BATCH = 32

#: Number of rounds in which all numerics are timed once each; the best time counts. While the two best times of some
#: numerics differ, the machine is busy, and more rounds follow, up to the second number.
ROUNDS, MAX_ROUNDS = 3, 9

#: Factor by which the two best times may differ; must be below :data:`MARGIN`, or the comparison is meaningless.
STEADY = 1.05

#: Number of images that a worker trains on, over all its trainings, from which compiling on a GPU is tried. It takes
#: about a minute.
LONG_IMAGES = 2_500_000

#: Errors that mean that this machine cannot compute with the numerics that are tried. torch's compiler also fails with
#: an AssertionError or a TypeError.
_FAILURES = (RuntimeError, NotImplementedError, TypeError, AssertionError, ImportError, CompileError)


def resolve_numerics(context: TrainingContext, trainings: float) -> tuple[Numerics, tuple[str, ...]]:
    """Return the resolved numerics of a study's trainings, and remarks for the user.

    Args:
        context: The study's training context, on the device of its trainings; its logit mode must be resolved.
        trainings: Number of trainings that a worker runs one after the other, compiling once for all of them.

    Raises:
        KdtuneError: This machine can compute nothing that the study allows.
    """
    wanted = context.study.numerics
    if wanted.is_resolved:
        return wanted, ()
    if not _is_large(context):
        return wanted.resolved(), ()
    is_long = trainings * context.study.training.epochs * len(context.splits.train) >= LONG_IMAGES
    path = _cache_path(context, is_long)
    with exclusive_lock(path.parent):  # two probes at the same time would disturb each other
        with suppress(OSError, ValueError, KeyError, TypeError):  # the file is absent or damaged: probe again
            cached = verified(parse_json(read_whole(path)))
            if cached["is_steady"]:
                return Numerics(**cached["fastest"]), tuple(cached.get("remarks", ()))
        seconds = _probe(context, is_long)
        remarks: tuple[str, ...] = ()
        if wanted.compile == "auto" and _has_graphs(context.device) and context.study.data.resident:
            captured, remarks = _time_captured_steps(context, is_long, seconds)
            seconds |= captured
        fastest = _fastest(seconds, wanted.resolved())
        step_s = {_label(numerics): found for numerics, found in seconds.items()}
        steady = all(map(_is_steady, seconds.values()))
        write_json(
            path,
            with_checksum({"fastest": fastest.model_dump(), "is_steady": steady, "step_s": step_s, "remarks": remarks}),
        )
    return fastest, remarks


def _is_large(context: TrainingContext) -> bool:
    sizes = context.workload()
    return sizes.teacher_macs + sizes.student_macs >= SMALL_MACS


def _cache_path(context: TrainingContext, is_long: bool) -> Path:
    """Return the file of the probe's result, named by a hash of everything that influences the result."""
    study = context.study
    depends_on: list[Any] = [
        ARITHMETIC,
        identity_of(study.teacher),
        identity_of(study.student),
        list(context.splits.train.images.shape[1:]),
        context.task.output_size,
        study.training.batch_size,
        study.teacher_logits,
        study.numerics.model_dump(),
        is_long,
        context.threads if context.device.type == "cpu" else None,
        device_name(context.device),
        str(torch.__version__),
        *(["graphs"] if _has_graphs(context.device) and context.study.data.resident else []),
    ]
    key = sha256(json.dumps(depends_on).encode()).hexdigest()[:16]
    return cache_dir() / "numerics" / f"{study.teacher.slug}-{study.student.slug}-{key}.json"


def _probe(context: TrainingContext, is_long: bool) -> dict[Numerics, list[float]]:
    """Return the seconds of timed steps for all numerics that the study allows and this machine can compute.

    Raises:
        KdtuneError: There are none.
    """
    seconds = _time_steps(context, _allowed_numerics(context.study.numerics))
    if context.study.numerics.compile == "auto" and is_long and context.device.type == "cuda":
        fastest = _fastest(seconds, context.study.numerics.resolved())
        with suppress(KdtuneError):
            seconds |= _time_steps(context, [fastest.model_copy(update={"compile": "on"})])
    return seconds


def _has_graphs(device: torch.device) -> bool:
    return device.type == "cuda"


def _time_captured_steps(
    context: TrainingContext, is_long: bool, eager: dict[Numerics, list[float]]
) -> tuple[dict[Numerics, list[float]], tuple[str, ...]]:
    """Time captured steps with all numerics for which they compute the same as eager steps.

    Args:
        context: The study's training context.
        is_long: Whether the trainings are long enough for compiling.
        eager: Seconds of eager steps.

    Returns:
        Seconds of captured steps by numerics, without remarks, if the fastest numerics capture steps. Else nothing,
        with a remark that says why.
    """
    proven, problems = [], []
    for numerics in _capturing_numerics(context.study.numerics, is_long):
        try:
            difference = loss_difference(context, numerics)
        except _FAILURES as error:
            problems.append(f"{_label(numerics)}: {_first_line(error)}")
            continue
        if difference <= TOLERANCE[numerics.precision]:
            proven.append(numerics)
        else:
            problems.append(
                f"{_label(numerics)}: within {STEPS} steps, a loss or a logit differs from the eager one by a fraction "
                f"of {difference:.2g} ({TOLERANCE[numerics.precision]:g} is allowed)"
            )
    seconds: dict[Numerics, list[float]] = {}
    try:
        seconds = _time_steps(context, proven) if proven else {}
    except KdtuneError as error:
        problems.append(str(error))
    if seconds and _fastest(eager | seconds, context.study.numerics.resolved()).captures_steps:
        return seconds, ()
    problems += [f"captured steps are not faster by a factor of {MARGIN:g}"] if seconds else []
    return {}, (f"training steps are not captured as CUDA graphs: {'; '.join(problems)}",)


def _capturing_numerics(wanted: Numerics, is_long: bool) -> list[Numerics]:
    """Return numerics that capture steps, for the plainest and the usually fastest arithmetic of a study.

    Compiled variants are included if the trainings are long enough.
    """
    allowed = _allowed_numerics(wanted)
    arithmetics = [allowed[0], allowed[-1]] if len(allowed) > 1 else allowed
    kinds = ["graph", "compiled_graph"] if is_long else ["graph"]
    return [numerics.model_copy(update={"compile": kind}) for numerics in arithmetics for kind in kinds]


def _allowed_numerics(wanted: Numerics) -> list[Numerics]:
    """Return all numerics that a study allows, without compilation, which is tried only with the fastest of them."""
    open_fields = {
        name: [value for value in get_args(Numerics.model_fields[name].annotation) if value != "auto"]
        for name in ("precision", "memory_layout")
        if getattr(wanted, name) == "auto"
    }
    return [
        wanted.model_copy(update=dict(zip(open_fields, values, strict=True))).resolved()
        for values in product(*open_fields.values())
    ]


def _time_steps(context: TrainingContext, candidates: list[Numerics]) -> dict[Numerics, list[float]]:
    """Time training steps and return the seconds of each by numerics; numerics that fail are left out.

    Raises:
        KdtuneError: All of them fail.
    """
    steps, failures = {}, []
    for numerics in candidates:
        try:
            steps[numerics] = _step_of(context, numerics)
        except _FAILURES as error:
            failures.append(f"{_label(numerics)}: {_first_line(error)}")
    if not steps:
        raise KdtuneError(
            f"a training step of {context.study.teacher} and {context.study.student} with a batch size of "
            f"{context.study.training.batch_size} failed on this {context.device.type}: {'; '.join(failures)}; "
            "use a smaller batch (--set training.batch_size=N), or set precision and memory_layout in [numerics]"
        )
    found: dict[Numerics, list[float]] = {numerics: [] for numerics in steps}
    clock = _clock(context)
    for turn in range(MAX_ROUNDS):
        if turn >= ROUNDS and all(map(_is_steady, found.values())):
            break
        for numerics, step in steps.items():
            began_s = clock()
            step()
            found[numerics].append(clock() - began_s)
    return found


def _first_line(error: Exception) -> str:
    """Return the first line of an error's message, or its type if there is no message (as in most assertions)."""
    return next(iter(str(error).strip().splitlines()), type(error).__name__)


def _is_steady(seconds: list[float]) -> bool:
    best, second = sorted(seconds)[:2]
    return second <= STEADY * best


def _clock(context: TrainingContext) -> Callable[[], float]:
    """Return a function that returns the time in seconds once all work is done.

    If a single thread does the work it is CPU time, which does not depend on other processes.
    """
    if context.device.type == "cuda":

        def synchronised_time_s() -> float:
            torch.cuda.synchronize(context.device)
            return time.perf_counter()

        return synchronised_time_s
    return time.process_time if context.threads == 1 else time.perf_counter


def _step_of(context: TrainingContext, numerics: Numerics) -> Callable[[], object]:
    """Return a function that takes one step of a warmed-up training of the study.

    Raises:
        Exception: One of ``_FAILURES``: this machine cannot compute with these numerics.
    """
    study = context.study
    size = study.training.batch_size if context.device.type == "cuda" else min(CPU_BATCH, study.training.batch_size)
    training = study.training.model_copy(update={"batch_size": size})
    own = context.with_study(study.model_copy(update={"numerics": numerics, "training": training}))
    recipe = representative_recipe(own.study, with_teacher=True)
    steps = _whole_steps(own.training(recipe, study.seed, own.untrained_teacher_logits()))
    with code_found(own, recipe):
        for _ in range(1 if numerics.compile == "off" and context.device.type == "cpu" else WARM_UP_STEPS):
            next(steps)
    return lambda: next(steps)


def _whole_steps(distiller: Distiller) -> Iterator[torch.Tensor]:
    """Yield steps without end, skipping the last step of an epoch if its batch has another size than the first."""
    sizes = distiller.batch_sizes
    for _ in count():
        yield from islice(distiller.steps(), sizes.count(sizes[0]))


def _fastest(seconds: dict[Numerics, list[float]], plain: Numerics) -> Numerics:
    """Return the fastest numerics if they are faster than the plain ones by :data:`MARGIN`, else the plain ones."""
    best = {numerics: min(found) for numerics, found in seconds.items()}
    fastest = min(best, key=lambda numerics: best[numerics])
    return fastest if best[fastest] * MARGIN <= best.get(plain, math.inf) else plain


def _label(numerics: Numerics) -> str:
    """Return a short description of numerics for messages, such as ``bfloat16 channels_last captured``."""
    how = (["compiled"] if numerics.uses_compiler else []) + (["captured"] if numerics.captures_steps else [])
    return " ".join([numerics.precision, numerics.memory_layout, *how])
