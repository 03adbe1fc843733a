"""Measurement of how long the student alone may train for the energy of a distillation.

Steps of both are timed alternately on this machine; :mod:`kdtune.forecast.distillation_cost` computes the ratio.
"""

import time
from collections.abc import Collection
from dataclasses import replace
from statistics import median

from kdtune.artifacts.training_context import TrainingContext
from kdtune.energy.flops import Workload
from kdtune.forecast.distillation_cost import energy_multiple
from kdtune.forecast.step_timing import time_work
from kdtune.forecast.stopwatch import Stopwatch
from kdtune.forecast.strategy_estimate import Conditions, WorkKind, WorkUsage

#: Time in seconds after which no further round is started.
ROUNDS_S = 4.0


def timed_energy_multiple(
    context: TrainingContext, workload: Workload, watch: Stopwatch, gpus: Collection[str], conditions: Conditions
) -> float:
    """Time steps and return the training energy of a distillation divided by that of the student alone.

    The kinds of work are timed alternately in several rounds, since the load of the machine changes from second to
    second. The median of the rounds is returned.

    Args:
        context: The study's training context; numerics and logit mode must be resolved.
        workload: Sizes of the study's networks and data.
        watch: Stopwatch of this node.
        gpus: UUIDs of the GPUs that the work uses.
        conditions: Conditions under which trials run.
    """
    study = context.study
    kinds: list[WorkKind] = ["distilling", "labels", "evaluation"]
    stores: list[tuple[int, int]] = []
    if study.teacher_logits == "replay":
        kinds.append("teacher_logits")
        shapes = {store.folder: store.shape for store in map(context.logit_store, study.seeds())}
        stores = [(shape.epochs, shape.images) for shape in shapes.values()]
    multiples: list[float] = []
    began_s = time.monotonic()
    while not multiples or time.monotonic() - began_s < ROUNDS_S:
        timings = time_work(context, kinds, watch, gpus, None)
        if context.device.type == "cpu" and context.threads == 1:
            timings = replace(timings, per_image={kind: _undisturbed(one) for kind, one in timings.per_image.items()})
        multiples.append(energy_multiple(timings, workload, study.training.epochs, study.repeats, stores, conditions))
    return median(multiples)


def _undisturbed(usage: WorkUsage) -> WorkUsage:
    """Return the usage of a single thread without the time in which other processes used its core."""
    return replace(usage, wall_s=min(usage.wall_s, usage.cpu_s))
