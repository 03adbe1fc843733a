"""Time of a distillation step with its data (ResNet18 to MobileNetV2 on CIFAR-100), by kdtune and the reference loop.

All variants (called ways) are timed alternately in one process, so that disturbances by other processes affect all of
them. The other parts of an epoch (its start, the evaluation, and the teacher's logits if they are stored) are timed
separately.
"""

import itertools
import math
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from statistics import median
from typing import Any

import torch

from benchmarks.record import ResultsByRound, print_progress
from benchmarks.reference import ReferenceLoop, cifar100, use_fastest
from benchmarks.roofline import roofline
from kdtune.artifacts.training_context import TrainingContext
from kdtune.specs import load_study
from kdtune.specs.numerics import PLAIN, Numerics
from kdtune.specs.suggestion import Suggestion
from kdtune.storage.paths import data_dir
from kdtune.training.distiller import Distiller
from kdtune.training.resolution import resolved_recipe
from kdtune.training.teacher_logits import LiveTeacher

#: Rounds, and steps of each way that are timed in a round.
TURNS, STEPS = 5, 3

#: Images in a timed evaluation, and in a timed pass of the teacher.
EVALUATED, TEACHER_IMAGES = 1024, 256

#: Epochs whose start is timed; and the number of steps, and of images in each, that are timed there. Small steps keep
#: the cost of the start visible.
BEGINNINGS, FEW = 5, 2

FAST = Numerics(precision="bfloat16", memory_layout="channels_last", compile="off")

BATCH = 128


@dataclass
class Way:
    """A variant of a training step, warmed up.

    Attributes:
        settle: Reaches the steady state within an epoch after a pause.
        step: Takes one step.
        evaluate: Classifies :data:`EVALUATED` images.
        begins_s: Seconds by which the first steps of an epoch take longer than others; None if this is not measured.
        ask: Computes the teacher's logits of :data:`TEACHER_IMAGES` images for the store; None if none are stored.
        settings: Settings of torch, which apply to the whole process and are restored before each round.
        times: Seconds of a step, of an evaluation and of a teacher's pass (``asking``), one for each round.
    """

    settle: Callable[[], object]
    step: Callable[[], object]
    evaluate: Callable[[], object]
    begins_s: float | None
    ask: Callable[[], object] | None
    settings: "Settings"
    times: dict[str, list[float]] = field(default_factory=lambda: {"step": [], "evaluation": [], "asking": []})


@dataclass(frozen=True)
class Settings:
    """Settings of torch for the whole process, which differ between kdtune and the reference loop."""

    threads: int
    convolutions_in_tf32: bool
    products_in_tf32: bool
    cudnn_benchmark: bool

    @classmethod
    def present(cls) -> "Settings":
        """Return the current settings."""
        cudnn, cuda = torch.backends.cudnn, torch.backends.cuda
        return cls(torch.get_num_threads(), cudnn.allow_tf32, cuda.matmul.allow_tf32, cudnn.benchmark)

    def restore(self) -> None:
        """Apply these settings to the process."""
        torch.set_num_threads(self.threads)
        torch.backends.cudnn.allow_tf32 = self.convolutions_in_tf32
        torch.backends.cuda.matmul.allow_tf32 = self.products_in_tf32
        torch.backends.cudnn.benchmark = self.cudnn_benchmark


def run(turns: int = TURNS, steps: int = STEPS) -> None:
    """Time all ways, and save their ratios and the fraction of the roofline that each reaches.

    Args:
        turns: Number of rounds.
        steps: Steps of each way in a round.
    """
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    sheet = ResultsByRound(f"step_{device.type}", "python -m benchmarks step")
    with _temporary_cache():
        _run(sheet, device, turns, steps)


@contextmanager
def _temporary_cache() -> Iterator[None]:
    """Use a temporary cache inside the context, so that logits of an untrained teacher do not get into the user's."""
    users = os.environ.get("KDTUNE_CACHE_DIR")
    with tempfile.TemporaryDirectory() as folder:
        os.environ["KDTUNE_CACHE_DIR"] = folder
        try:
            yield
        finally:
            if users is None:
                del os.environ["KDTUNE_CACHE_DIR"]
            else:
                os.environ["KDTUNE_CACHE_DIR"] = users


def _run(sheet: ResultsByRound, device: torch.device, turns: int, steps: int) -> None:
    study = load_study("cifar100-hkd", epochs=BEGINNINGS + 2, overrides=[f"training.batch_size={BATCH}"])
    threads = os.cpu_count() or 1
    ordinary = Settings.present()
    plain = TrainingContext(study.model_copy(update={"numerics": PLAIN, "teacher_logits": "replay"}), device, threads)
    fast = plain.with_study(plain.study.model_copy(update={"numerics": FAST}))
    images = {"train": len(plain.splits.train), "validation": len(plain.splits.validation)}
    of_kdtune = Settings.present()
    ordinary.restore()
    loop = ReferenceLoop(
        *cifar100(data_dir().path, images["train"], EVALUATED),
        teacher=study.teacher.name,
        student=study.student.name,
        classes=plain.task.output_size,
        device=device,
    )
    print_progress("trying the reference loop's threads and workers")
    found = use_fastest(loop)
    ways = {"reference": _reference(loop)}
    of_kdtune.restore()
    for name, context in (("plain", plain), ("bfloat16 channels-last", fast)):
        for replays in (False, True):
            print_progress(f"preparing {name}, {'replayed' if replays else 'live'}")
            ways[f"{name}, {'replayed' if replays else 'live'}"] = _kdtune(context, replays=replays, settings=of_kdtune)
    for turn in range(turns):
        # The order changes in each round, so that no way always follows the same one.
        names = list(ways)[turn % len(ways) :] + list(ways)[: turn % len(ways)]
        for name in names:
            _take_turn(ways[name], steps, device)
        print_progress(
            f"turn {turn + 1}: " + ", ".join(f"{name} {way.times['step'][-1]:.3f} s" for name, way in ways.items())
        )
        results = _results(ways, images, found, trainings=len(study.search_space.points()))
        sheet.save(results)
    of_kdtune.restore()
    whole = {name: median(way.times["step"]) for name, way in ways.items()}
    sheet.finish({**results, "roofline": roofline(plain, BATCH, whole, device)})


def _reference(loop: ReferenceLoop) -> Way:
    loop.begin([4.0])
    batches = loop.endless_batches()
    loop.step(*next(batches))  # the first step is slow
    loop.evaluate()
    return Way(
        settle=lambda: loop.settle(batches),
        step=lambda: loop.step(*next(batches)),
        evaluate=loop.evaluate,
        begins_s=None,
        ask=None,
        settings=Settings.present(),
    )


def _kdtune(context: TrainingContext, *, replays: bool, settings: Settings) -> Way:
    distiller = _training(context, replays=replays)
    steps = itertools.chain.from_iterable(distiller.steps() for _ in itertools.count())
    next(steps)  # the first step is slow
    validation = context.splits.validation
    part = replace(validation, images=validation.images[:EVALUATED], labels=validation.labels[:EVALUATED])
    return Way(
        settle=lambda: next(steps),
        step=lambda: next(steps),
        evaluate=lambda: context.task.evaluate(distiller.model, part, context.arithmetic),
        begins_s=_begins_s(context, replays=replays),
        ask=_teacher_pass(context) if replays else None,
        settings=settings,
    )


def _training(context: TrainingContext, *, replays: bool) -> Distiller:
    """Return a training with an untrained teacher, whose weights do not influence the time."""
    point = {"temperature": "stochastic"}
    if not replays:
        live = LiveTeacher(context.untrained_teacher(), context.arithmetic)
        return context.training(resolved_recipe(context.study, Suggestion.from_point(point)), 0, live)
    store = context.logit_store(0)
    if missing := store.missing_epochs():
        store.create()
        for epoch in missing:
            store.fill(epoch, iter([torch.randn(store.shape.images, store.shape.classes).numpy()]))
    return context.distiller(resolved_recipe(context.study, Suggestion.from_point(point)), 0)


def _begins_s(context: TrainingContext, *, replays: bool) -> float:
    """Return the seconds by which the first steps of an epoch take longer than later ones.

    They include drawing the order of the images, and reading the teacher's logits and checking their checksum.
    """
    short = context.study.training.model_copy(update={"batch_size": FEW})
    distiller = _training(context.with_study(context.study.model_copy(update={"training": short})), replays=replays)
    longer = []
    for distiller.epoch in range(BEGINNINGS + 1):
        steps = distiller.steps()
        first_s, later_s = (_seconds(lambda: next(steps), FEW, context.device) for _ in range(2))  # noqa: B023
        longer.append(FEW * (first_s - later_s))
    return median(longer[1:])


def _teacher_pass(context: TrainingContext) -> Callable[[], object]:
    """Return a function that computes the teacher's logits of some images, as for the logit store."""
    teacher, train = LiveTeacher(context.untrained_teacher(), context.arithmetic), context.splits.train
    index = torch.arange(TEACHER_IMAGES, device=context.device)
    augment = context.study.training.augment
    return lambda: teacher(train.changed(index, augment, 0, 0), index).cpu().half()


def _take_turn(way: Way, steps: int, device: torch.device) -> None:
    way.settings.restore()
    way.settle()
    way.times["step"].append(_seconds(way.step, steps, device))
    way.times["evaluation"].append(_seconds(way.evaluate, 1, device))
    if way.ask:
        way.times["asking"].append(_seconds(way.ask, 1, device))


def _seconds(action: Callable[[], object], count: int, device: torch.device) -> float:
    """Return the mean seconds of an action that is repeated without pause."""
    if device.type == "cuda":
        torch.cuda.synchronize()
    began_s = time.perf_counter()
    for _ in range(count):
        action()
    if device.type == "cuda":
        torch.cuda.synchronize()
    return (time.perf_counter() - began_s) / count


def _results(ways: dict[str, Way], images: dict[str, int], found: dict[str, Any], trainings: int) -> dict[str, Any]:
    whole = {name: median(way.times["step"]) for name, way in ways.items()}
    epochs = {name: _epoch(way, images, trainings) for name, way in ways.items()}
    return {
        "batch": BATCH,
        "images": images,
        "reference_manner": found,
        "threads": {name: way.settings.threads for name, way in ways.items()},
        "step_s": {
            name: {"median": whole[name], "min": min(way.times["step"]), "max": max(way.times["step"])}
            for name, way in ways.items()
        },
        "reference_over": {name: whole["reference"] / s for name, s in whole.items()},
        "epoch": {
            "how": "sum of the parts; asking_shared is the time of the teacher's logits for an epoch divided by the "
            f"{trainings} trainings that share them; the start of the reference's epochs is not counted",
            "seconds": epochs,
            "reference_over": {name: epochs["reference"]["whole"] / parts["whole"] for name, parts in epochs.items()},
            "reference_over_a_single_training": {
                name: epochs["reference"]["whole"] / (parts["whole"] + parts["asking_shared"] * (trainings - 1))
                for name, parts in epochs.items()
            },
        },
    }


def _epoch(way: Way, images: dict[str, int], trainings: int) -> dict[str, float]:
    """Return the seconds of each part of an epoch; the teacher's logits are shared by a number of trainings."""
    parts = {
        "steps": median(way.times["step"]) * math.ceil(images["train"] / BATCH),
        "begins": way.begins_s or 0.0,
        "evaluation": median(way.times["evaluation"]) / EVALUATED * images["validation"],
        "asking_shared": median(way.times["asking"]) / TEACHER_IMAGES * images["train"] / trainings if way.ask else 0.0,
    }
    return {**parts, "whole": sum(parts.values())}
