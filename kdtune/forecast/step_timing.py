"""Timing of a few real training steps and evaluations, from which a study's time and energy are estimated.

The teacher is an untrained one, since its weights do not influence the time. The networks are discarded afterwards.
"""

import time
from collections.abc import Callable, Collection, Iterator
from contextlib import nullcontext
from dataclasses import dataclass, replace
from functools import partial
from statistics import median

import torch

from kdtune.artifacts.shared_code import code_found
from kdtune.artifacts.student_data import synthesizer_of
from kdtune.artifacts.training_context import TrainingContext
from kdtune.data.batches import ImageSet
from kdtune.forecast.conversion_timing import convert_untrained
from kdtune.forecast.stopwatch import Lap, Stopwatch
from kdtune.forecast.strategy_estimate import Timings, WorkKind, WorkUsage
from kdtune.forecast.synthesis_timing import syntheses
from kdtune.specs.quantisation import Quantisation
from kdtune.specs.trial_spec import Recipe
from kdtune.training.distiller import WARM_UP_STEPS, Distiller
from kdtune.training.resolution import representative_recipe, teacher_recipe
from kdtune.training.teacher_logits import LiveTeacher

#: Time for which each kind of work is timed, in seconds.
SLICE_S = 0.15
#: The same if energy counters are read, and the time for which the idle power is measured. A GPU's counter changes
#: about ten times a second, so a shorter time is not enough.
COUNTED_SLICE_S = 0.4
#: Number of parts into which a slice is divided. The median part counts, so that a short disturbance has no influence;
#: with fewer than three parts, it would have.
_CHUNKS, _FEWEST_CHUNKS = 5, 3
#: Time in seconds that two steps, the least number that is timed, may take on a CPU; else they get fewer images.
LIMIT_S = 0.5
#: Images of the first step on a CPU; normalisation layers need two.
_FIRST_IMAGES = 2

#: How a student is quantised in steps of these kinds; a calibration is timed with all images.
_QUANTISED: dict[WorkKind, Quantisation] = {
    "quantising": Quantisation(kind="qat"),
    "calibrating": Quantisation(kind="ptq", images=2**31),
}

#: Given a number of images per unit, repeats a unit of work without end and yields the number of images in each, or
#: the part of an image for which the unit stands.
_Units = Callable[[int], Iterator[float]]


def time_work(
    context: TrainingContext, kinds: Collection[WorkKind], watch: Stopwatch, gpus: Collection[str], setup: Lap | None
) -> Timings:
    """Time some kinds of a study's work, each for about a sixth of a second (longer if energy counters are read).

    This draws from torch's global random generator.

    Args:
        context: The study's training context.
        kinds: Kinds of work to time.
        watch: Stopwatch of this node.
        gpus: UUIDs of the GPUs that the work uses.
        setup: Time during which this process was set up as a worker, if it was set up for this call; else None.
    """
    idle_uw = watch.measure_idle_uw(COUNTED_SLICE_S)
    timer = _Timer(context.device, watch, gpus)
    timed: dict[WorkKind, tuple[WorkUsage, int]] = {}
    for kind in kinds:
        if kind == "conversion":
            timed[kind] = timer.once(partial(convert_untrained, context)), 1
            continue
        recipe = _recipe(context, kind)
        with code_found(context, recipe) if recipe else nullcontext():
            timed[kind] = timer.per_image(*_work(context, kind, recipe))
    return Timings(
        per_image={kind: usage for kind, (usage, _) in timed.items()},
        batches={kind: size for kind, (_, size) in timed.items()},
        idle_uw=idle_uw,
        setup=watch.usage(setup) if setup else None,
        spare_gpu_uw=watch.spare_gpu_uw(gpus),
    )


@dataclass(frozen=True)
class _Timer:
    """Times units of work on a device."""

    device: torch.device
    watch: Stopwatch
    gpus: Collection[str]

    @property
    def slice_s(self) -> float:
        return COUNTED_SLICE_S if self.watch.has_counters else SLICE_S

    def per_image(self, units: _Units, batch_size: int) -> tuple[WorkUsage, int]:
        """Return the usage of the work for one image, and the number of images per unit with which it was timed."""
        size = batch_size if self.device.type == "cuda" else min(batch_size, _FIRST_IMAGES)
        while True:
            repeated = units(size)
            for _ in range(WARM_UP_STEPS if self.device.type == "cuda" else 1):
                next(repeated)  # the first steps are slow
            step_s, _, _ = self._chunk(repeated, 1)
            # With few images, the fixed cost of a step weighs too much. So the size grows, at least twofold, as long
            # as two steps of the new size stay within the limit even if their time grows in proportion to the images.
            if _growth(step_s) < 2:
                step_s = min(step_s, self._chunk(repeated, 1)[0])  # the machine may have been disturbed
            if size == batch_size or _growth(step_s) < 2:
                break
            size = min(batch_size, int(size * _growth(step_s)))
        count = max(1, int(self.slice_s / _CHUNKS / step_s))
        self.watch.lap()
        chunks: list[tuple[float, float, float]] = []
        began_s = time.perf_counter()
        while len(chunks) < _FEWEST_CHUNKS or time.perf_counter() - began_s < self.slice_s:
            chunks.append(self._chunk(repeated, count))
        lap = self.watch.lap()
        usage = self.watch.usage(lap, self.gpus) * (1 / sum(images for _, _, images in chunks))
        # The energy is that of the whole lap, since counters cover it; for times, the median excludes disturbances.
        wall_s, cpu_s = (median(chunk[place] / chunk[2] for chunk in chunks) for place in (0, 1))
        return replace(usage, wall_s=wall_s, cpu_s=cpu_s), size

    def once(self, work: Callable[[], object]) -> WorkUsage:
        """Return the usage of work that takes too long to be repeated."""
        self.watch.lap()
        work()
        self._synchronise()
        return self.watch.usage(self.watch.lap(), self.gpus)

    def _chunk(self, units: Iterator[float], count: int) -> tuple[float, float, float]:
        """Return wall seconds, CPU seconds and images of some units of work."""
        self._synchronise()
        wall_s, cpu_s = time.perf_counter(), time.process_time()
        images = sum(next(units) for _ in range(count))
        self._synchronise()
        return time.perf_counter() - wall_s, time.process_time() - cpu_s, images

    def _synchronise(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)


def _growth(step_s: float) -> float:
    """Return the factor by which a step's images may grow so that two steps stay within the limit."""
    return LIMIT_S / (2 * step_s)


def _recipe(context: TrainingContext, kind: WorkKind) -> Recipe | None:
    """Return the recipe of the trainings that a kind of work consists of; None if it is no training."""
    if kind in ("evaluation", "teacher_evaluation", "teacher_logits", "synthesis", "trial_images"):
        return None
    if kind == "teacher":
        return teacher_recipe(context.study)
    return representative_recipe(context.study, with_teacher=kind == "distilling", quantised=_QUANTISED.get(kind))


def _work(context: TrainingContext, kind: WorkKind, recipe: Recipe | None) -> tuple[_Units, int]:
    """Return the units of a kind of work, and the number of images in each when the study runs."""
    if recipe:
        teacher = context.untrained_teacher_logits() if recipe.needs_teacher else None
        distiller = context.training(recipe, context.study.seed, teacher)
        train_images = len(context.splits.train)
        return lambda size: _steps(distiller, size), min(recipe.training.batch_size, train_images)
    if kind in ("evaluation", "teacher_evaluation"):
        model = context.untrained_student() if kind == "evaluation" else context.untrained_teacher()
        images = context.splits.validation
        return lambda size: _evaluations(context, model, images, size), min(images.pass_size, len(images))
    if kind in ("synthesis", "trial_images"):
        options, against_student = synthesizer_of(context).common, kind == "trial_images"
        size = options.batch_size if against_student else min(options.batch_size, options.images)
        return lambda size: syntheses(context, size, against_student=against_student), size
    train = context.splits.train
    return lambda size: _teacher_passes(context, size), min(train.pass_size, len(train))


def _teacher_passes(context: TrainingContext, size: int) -> Iterator[int]:
    """Compute the teacher's logits for a number of images at a time, as for the logit store."""
    train, augment = context.splits.train, context.study.training.augment
    teacher = LiveTeacher(context.untrained_teacher(), context.arithmetic)
    index = torch.arange(size, device=context.device)
    while True:
        teacher(train.changed(index, augment, context.study.seed, 0), index)
        yield size


def _evaluations(context: TrainingContext, model: torch.nn.Module, images: ImageSet, size: int) -> Iterator[int]:
    part = images.first(size)
    while True:
        context.task.evaluate(model, part, context.arithmetic)
        yield size


def _steps(distiller: Distiller, size: int) -> Iterator[int]:
    training = distiller.recipe.training.model_copy(update={"batch_size": size})
    distiller.recipe = distiller.recipe.model_copy(update={"training": training})
    while True:
        for images, _ in zip(distiller.batch_sizes, distiller.steps(), strict=True):
            yield images
