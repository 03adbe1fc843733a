"""Times a few real steps of a study's networks, to tell beforehand what the study will take.

The teacher is not trained: an untrained one takes as long. Nothing that is timed here is trained further.
"""

import time
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, replace
from statistics import median

import torch

from kdtune.artifacts.workbench import Workbench
from kdtune.data.batches import ImageSet
from kdtune.forecast.stopwatch import Stopwatch, Stretch
from kdtune.forecast.strategy_estimate import Timings, Usage, Work
from kdtune.training.distiller import WARM_UP_STEPS, Distiller
from kdtune.training.evaluation import BATCH_SIZE, evaluate
from kdtune.training.numerics import Arithmetic
from kdtune.training.resolution import representative_recipe, teacher_recipe
from kdtune.training.teacher_logits import LiveTeacher

#: Seconds for which each kind of work is timed, and an idle machine's counters are read.
SLICE_S = 0.15
#: The same where counters are read: a GPU's moves about ten times a second, so a shorter slice tells nothing.
COUNTED_SLICE_S = 0.4
#: Chunks of a slice, of which the middle one counts: a hiccup of the machine is in one of them.
_CHUNKS = 5
#: Seconds that the two steps which are timed at least may take on a CPU; else they get fewer images.
LIMIT_S = 0.5
#: Images of a first step on a CPU; normalisation layers need two.
_FEW = 2

#: An endless repetition of a piece of work with so many images at a time; yields how many each time.
_Units = Callable[[int], Iterator[int]]


def time_work(
    bench: Workbench, kinds: Collection[Work], watch: Stopwatch, gpus: Collection[str], setup: Stretch | None
) -> Timings:
    """Time some kinds of a study's work: each about a sixth of a second, longer where energy counters are read.

    Draws from torch's global generator.

    Args:
        bench: The study's data and networks.
        kinds: What to time.
        watch: Measures on this node.
        gpus: UUIDs of the GPUs that the work uses.
        setup: When this process was prepared, if it was prepared for this.
    """
    idle_uw = watch.rest(COUNTED_SLICE_S)
    timer = _Timer(bench.device, watch, gpus)
    timed = {kind: timer.per_image(*_work(bench, kind)) for kind in kinds}
    return Timings(
        per_image={kind: usage for kind, (usage, _) in timed.items()},
        batches={kind: size for kind, (_, size) in timed.items()},
        idle_uw=idle_uw,
        setup=watch.usage(setup) if setup else None,
    )


@dataclass(frozen=True)
class _Timer:
    device: torch.device
    watch: Stopwatch
    gpus: Collection[str]

    @property
    def slice_s(self) -> float:
        return COUNTED_SLICE_S if self.watch.counts else SLICE_S

    def per_image(self, units: _Units, wanted: int) -> tuple[Usage, int]:
        """What the work takes for one image, and how many images at a time it was timed with."""
        size = wanted if self.device.type == "cuda" else min(wanted, _FEW)
        while True:
            repeated = units(size)
            for _ in range(WARM_UP_STEPS if self.device.type == "cuda" else 1):
                next(repeated)  # what is slow the first time
            step_s, _, _ = self._chunk(repeated, 1)
            # With few images what a step takes anyhow weighs too much, so as many as two steps are affordable for.
            if 2 * 2 * step_s > LIMIT_S:
                step_s = min(step_s, self._chunk(repeated, 1)[0])  # it may have been a hiccup
            if size == wanted or 2 * 2 * step_s > LIMIT_S:
                break
            size = min(wanted, 2 * size)
        count = max(1, int(self.slice_s / _CHUNKS / step_s))
        self.watch.lap()
        chunks: list[tuple[float, float, int]] = []
        began_s = time.perf_counter()
        while len(chunks) < 2 or time.perf_counter() - began_s < self.slice_s:
            chunks.append(self._chunk(repeated, count))
        lap = self.watch.lap()
        usage = self.watch.usage(lap, self.gpus) * (1 / sum(images for _, _, images in chunks))
        # Energy is that of the whole lap, since counters are; of times the middle counts, without hiccups.
        wall_s, cpu_s = (median(chunk[place] / chunk[2] for chunk in chunks) for place in (0, 1))
        return replace(usage, wall_s=wall_s, cpu_s=cpu_s), size

    def _chunk(self, units: Iterator[int], count: int) -> tuple[float, float, int]:
        """Wall seconds, CPU seconds and images of some units of work."""
        self._wait()
        wall_s, cpu_s = time.perf_counter(), time.process_time()
        images = sum(next(units) for _ in range(count))
        self._wait()
        return time.perf_counter() - wall_s, time.process_time() - cpu_s, images

    def _wait(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)


def _work(bench: Workbench, kind: Work) -> tuple[_Units, int]:
    """A kind of work, and with how many images at a time the study does it."""
    if kind in ("evaluation", "teacher_evaluation"):
        model = bench.untrained_student() if kind == "evaluation" else bench.untrained_teacher()
        images = bench.splits.validation
        return lambda size: _evaluations(model, images, size, bench.arithmetic), min(BATCH_SIZE, len(images))
    if kind == "teacher_logits":
        return lambda size: _asked(bench, size), min(BATCH_SIZE, len(bench.splits.train))
    study = bench.study
    if kind == "teacher":
        recipe = teacher_recipe(study)
    else:
        recipe = representative_recipe(study, with_teacher=kind == "distilling")
    distiller = bench.training(recipe, study.seed, bench.stand_in() if recipe.needs_teacher else None)
    images_there = len(bench.splits.train)
    return lambda size: _steps(distiller, size), min(recipe.training.batch_size, images_there)


def _asked(bench: Workbench, size: int) -> Iterator[int]:
    """The teacher's answers to so many images at a time, for the store."""
    train, augment = bench.splits.train, bench.study.training.augment
    teacher = LiveTeacher(bench.untrained_teacher(), bench.arithmetic)
    index = torch.arange(size, device=bench.device)
    while True:
        teacher(train.changed(index, augment, bench.study.seed, 0), index)
        yield size


def _evaluations(model: torch.nn.Module, images: ImageSet, size: int, arithmetic: Arithmetic) -> Iterator[int]:
    part = replace(images, images=images.images[:size], labels=images.labels[:size])
    while True:
        evaluate(model, part, arithmetic)
        yield size


def _steps(distiller: Distiller, size: int) -> Iterator[int]:
    training = distiller.recipe.training.model_copy(update={"batch_size": size})
    distiller.recipe = distiller.recipe.model_copy(update={"training": training})
    while True:
        for images, _ in zip(distiller.batch_sizes, distiller.steps(), strict=True):
            yield images
