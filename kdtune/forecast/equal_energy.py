"""Times steps in turns, to tell how long a student alone may train for the energy of a distillation."""

import time
from collections.abc import Collection
from dataclasses import replace
from statistics import median

from kdtune.artifacts.workbench import Workbench
from kdtune.energy.flops import Workload
from kdtune.forecast.distillation_cost import energy_multiple
from kdtune.forecast.step_timing import time_work
from kdtune.forecast.stopwatch import Stopwatch
from kdtune.forecast.strategy_estimate import Conditions, Usage, Work

#: Seconds after which no other round is begun.
ROUNDS_S = 4.0


def timed_energy_multiple(
    bench: Workbench, workload: Workload, watch: Stopwatch, gpus: Collection[str], conditions: Conditions
) -> float:
    """Training energy of a distillation over that of the student alone, as steps tell that are timed now.

    The kinds of work are timed by turns, since what else the machine does changes from second to second, and the
    middle round counts.

    Args:
        bench: Of the study, with nothing left open.
        workload: Sizes of its networks and data.
        watch: Measures on this node.
        gpus: UUIDs of the GPUs that the work uses.
        conditions: How trials run.
    """
    study = bench.study
    kinds: list[Work] = ["distilling", "labels", "evaluation"]
    asked: list[tuple[int, int]] = []
    if study.teacher_logits == "replay":
        kinds.append("teacher_logits")
        stores = {store.folder: store.shape for store in map(bench.logit_store, study.seeds())}
        asked = [(shape.epochs, shape.images) for shape in stores.values()]
    found: list[float] = []
    began_s = time.monotonic()
    while not found or time.monotonic() - began_s < ROUNDS_S:
        timings = time_work(bench, kinds, watch, gpus, None)
        if bench.device.type == "cpu" and bench.threads == 1:
            timings = replace(timings, per_image={kind: _alone(one) for kind, one in timings.per_image.items()})
        found.append(energy_multiple(timings, workload, study.training.epochs, study.repeats, asked, conditions))
    return median(found)


def _alone(usage: Usage) -> Usage:
    """What one thread takes that waits for nobody: its CPU time, whoever else wanted the core meanwhile."""
    return replace(usage, wall_s=min(usage.wall_s, usage.cpu_s))
