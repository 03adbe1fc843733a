"""A distillation step with its data, ResNet18 to MobileNetV2 on CIFAR-100: kdtune's ways beside the reference loop.

All ways take turns within one process, so that whatever else the machine does is spread over all of them. What comes
with the steps of an epoch (its beginning, the evaluation, the teacher's answers where they are kept) is timed apart.
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

from benchmarks.record import TurnByTurn, tell
from benchmarks.reference import ReferenceLoop, cifar100, use_fastest
from benchmarks.roofline import roofline
from kdtune.artifacts.workbench import Workbench
from kdtune.specs import load_study
from kdtune.specs.study import PLAIN, Numerics
from kdtune.specs.suggestion import Suggestion
from kdtune.storage.paths import data_dir
from kdtune.training.distiller import Distiller
from kdtune.training.evaluation import evaluate
from kdtune.training.resolution import resolved_recipe
from kdtune.training.teacher_logits import LiveTeacher

#: Turns of each way, and steps that are timed in a turn.
TURNS, STEPS = 5, 3

#: Images of which an evaluation in a turn consists, and of which the teacher is asked at once in one.
EVALUATED, ASKED = 1024, 256

#: Epochs of which a beginning is timed, with so few images in a step that it is not hidden, and so many steps.
BEGINNINGS, FEW = 5, 2

FAST = Numerics(precision="bfloat16", memory_layout="channels_last", compile="off")

BATCH = 128


@dataclass
class Way:
    """A way of training, ready to take steps.

    Attributes:
        settle: Comes to how it goes within an epoch, after a rest.
        step: Takes one step.
        evaluate: Classifies :data:`EVALUATED` images.
        begins_s: Seconds by which an epoch's first steps take longer; None where they are not counted.
        ask: Lets the teacher answer for :data:`ASKED` images, to be kept; None where nothing is kept.
        settings: Torch's, which are the process's own and not the way's.
        times: Seconds of a step, of an evaluation and of asking, a turn each.
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
    """What is set for a whole process, and differs between kdtune and an ordinary loop."""

    threads: int
    convolutions_in_tf32: bool
    products_in_tf32: bool
    cudnn_benchmark: bool

    @classmethod
    def present(cls) -> "Settings":
        """As they are now."""
        cudnn, cuda = torch.backends.cudnn, torch.backends.cuda
        return cls(torch.get_num_threads(), cudnn.allow_tf32, cuda.matmul.allow_tf32, cudnn.benchmark)

    def restore(self) -> None:
        """Set them again."""
        torch.set_num_threads(self.threads)
        torch.backends.cudnn.allow_tf32 = self.convolutions_in_tf32
        torch.backends.cuda.matmul.allow_tf32 = self.products_in_tf32
        torch.backends.cudnn.benchmark = self.cudnn_benchmark


def run(turns: int = TURNS, steps: int = STEPS) -> None:
    """Time every way, and tell ratios and how far each is from what the machine could do."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    sheet = TurnByTurn(f"step_{device.type}", "python -m benchmarks step")
    with _cache_of_its_own():
        _run(sheet, device, turns, steps)


@contextmanager
def _cache_of_its_own() -> Iterator[None]:
    """What is kept here for a teacher that knows nothing has no place among what studies use."""
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


def _run(sheet: TurnByTurn, device: torch.device, turns: int, steps: int) -> None:
    study = load_study("cifar100-hkd", epochs=BEGINNINGS + 2, overrides=[f"training.batch_size={BATCH}"])
    threads = os.cpu_count() or 1
    ordinary = Settings.present()
    plain = Workbench(study.model_copy(update={"numerics": PLAIN, "teacher_logits": "replay"}), device, threads)
    fast = plain.sharing(plain.study.model_copy(update={"numerics": FAST}))
    images = {"train": len(plain.splits.train), "validation": len(plain.splits.validation)}
    kdtunes = Settings.present()
    ordinary.restore()
    loop = ReferenceLoop(
        *cifar100(data_dir().path, images["train"], EVALUATED),
        teacher=study.teacher,
        student=study.student,
        classes=plain.num_classes,
        device=device,
    )
    tell("trying the reference loop's threads and workers")
    found = use_fastest(loop)
    ways = {"reference": _reference(loop)}
    kdtunes.restore()
    for name, bench in (("plain", plain), ("bfloat16 channels-last", fast)):
        for replays in (False, True):
            tell(f"preparing {name}, {'replayed' if replays else 'live'}")
            ways[f"{name}, {'replayed' if replays else 'live'}"] = _kdtune(bench, replays=replays, settings=kdtunes)
    for turn in range(turns):
        # Nobody always comes after the same one.
        names = list(ways)[turn % len(ways) :] + list(ways)[: turn % len(ways)]
        for name in names:
            _take_turn(ways[name], steps, device)
        tell(f"turn {turn + 1}: " + ", ".join(f"{name} {way.times['step'][-1]:.3f} s" for name, way in ways.items()))
        results = _results(ways, images, found, trainings=len(study.search_space.points()))
        sheet.keep(results)
    kdtunes.restore()
    whole = {name: median(way.times["step"]) for name, way in ways.items()}
    sheet.finish({**results, "roofline": roofline(plain, BATCH, whole, device)})


def _reference(loop: ReferenceLoop) -> Way:
    loop.begin([4.0])
    batches = loop.endless_batches()
    loop.step(*next(batches))  # what is slow the first time
    loop.evaluate()
    return Way(
        settle=lambda: loop.settle(batches),
        step=lambda: loop.step(*next(batches)),
        evaluate=loop.evaluate,
        begins_s=None,
        ask=None,
        settings=Settings.present(),
    )


def _kdtune(bench: Workbench, *, replays: bool, settings: Settings) -> Way:
    distiller = _training(bench, replays=replays)
    steps = itertools.chain.from_iterable(distiller.steps() for _ in itertools.count())
    next(steps)  # what is slow the first time
    validation = bench.splits.validation
    part = replace(validation, images=validation.images[:EVALUATED], labels=validation.labels[:EVALUATED])
    return Way(
        settle=lambda: next(steps),
        step=lambda: next(steps),
        evaluate=lambda: evaluate(distiller.model, part, bench.arithmetic),
        begins_s=_begins_s(bench, replays=replays),
        ask=_asking(bench) if replays else None,
        settings=settings,
    )


def _training(bench: Workbench, *, replays: bool) -> Distiller:
    """A training whose teacher is not trained, which takes as long."""
    point = {"temperature": "stochastic"}
    if not replays:
        answers = LiveTeacher(bench.untrained_teacher(), bench.arithmetic)
        return bench.training(resolved_recipe(bench.study, Suggestion.from_point(point)), 0, answers)
    store = bench.logit_store(0)
    if missing := store.missing_epochs():
        store.create()
        for epoch in missing:
            store.fill(epoch, iter([torch.randn(store.shape.images, store.shape.classes).numpy()]))
    return bench.distiller(resolved_recipe(bench.study, Suggestion.from_point(point)), 0)


def _begins_s(bench: Workbench, *, replays: bool) -> float:
    """By how much an epoch's first steps take longer: the order, and the teacher's answers with their checksum."""
    short = bench.study.training.model_copy(update={"batch_size": FEW})
    distiller = _training(bench.sharing(bench.study.model_copy(update={"training": short})), replays=replays)
    longer = []
    for distiller.epoch in range(BEGINNINGS + 1):
        steps = distiller.steps()
        first_s, later_s = (_seconds(lambda: next(steps), FEW, bench.device) for _ in range(2))  # noqa: B023
        longer.append(FEW * (first_s - later_s))
    return median(longer[1:])


def _asking(bench: Workbench) -> Callable[[], object]:
    """What filling the store does for some images."""
    teacher, train = LiveTeacher(bench.untrained_teacher(), bench.arithmetic), bench.splits.train
    index = torch.arange(ASKED, device=bench.device)
    augment = bench.study.training.augment
    return lambda: teacher(train.changed(index, augment, 0, 0), index).cpu().half()


def _take_turn(way: Way, steps: int, device: torch.device) -> None:
    way.settings.restore()
    way.settle()
    way.times["step"].append(_seconds(way.step, steps, device))
    way.times["evaluation"].append(_seconds(way.evaluate, 1, device))
    if way.ask:
        way.times["asking"].append(_seconds(way.ask, 1, device))


def _seconds(action: Callable[[], object], count: int, device: torch.device) -> float:
    """Of one of several actions in a row, on average."""
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
            "how": f"worked out from the parts; asking: the teacher's answers to an epoch, kept and shared by "
            f"{trainings} trainings; how an epoch of the reference begins is not counted",
            "seconds": epochs,
            "reference_over": {name: epochs["reference"]["whole"] / parts["whole"] for name, parts in epochs.items()},
            "reference_over_a_single_training": {
                name: epochs["reference"]["whole"] / (parts["whole"] + parts["asking_shared"] * (trainings - 1))
                for name, parts in epochs.items()
            },
        },
    }


def _epoch(way: Way, images: dict[str, int], trainings: int) -> dict[str, float]:
    """Seconds of an epoch of a training that shares what is shared with others."""
    parts = {
        "steps": median(way.times["step"]) * math.ceil(images["train"] / BATCH),
        "begins": way.begins_s or 0.0,
        "evaluation": median(way.times["evaluation"]) / EVALUATED * images["validation"],
        "asking_shared": median(way.times["asking"]) / ASKED * images["train"] / trainings if way.ask else 0.0,
    }
    return {**parts, "whole": sum(parts.values())}
