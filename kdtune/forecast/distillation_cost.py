"""Energy of a distillation as a multiple of the energy of training the student alone.

The control strategy that trains the student alone for the energy of a distillation (``longer = "energy"``) trains for
that many times the epochs.
"""

from collections.abc import Collection
from dataclasses import replace

from kdtune.energy.flops import Workload
from kdtune.forecast.strategy_estimate import (
    Conditions,
    StrategyOverhead,
    TimeAndEnergy,
    Timings,
    WorkUsage,
    strategy_charge,
    sum_or_none,
)


def energy_multiple(
    timings: Timings,
    workload: Workload,
    epochs: int,
    trainings: int,
    stores: Collection[tuple[int, int]],
    conditions: Conditions,
) -> float:
    """Return the training energy of distillations divided by that of as many trainings of the student alone.

    Training energy is the energy of students, and of the teacher if its logits are replayed, while they work, plus the
    memory's power for the cores that they hold. Starting workers and idle resources are not included. If the energy is
    modelled, it is proportional to time on the same cores, so the result is a ratio of times. A ratio of times is also
    used if a counter did not move while steps were timed.

    Args:
        timings: Timings of steps with and without the teacher, of evaluations, and of the teacher's logits if they are
            stored.
        workload: Sizes of the networks and the data.
        epochs: Epochs of a training.
        trainings: Number of trainings of a strategy that has one in each repeat.
        stores: Epochs, and images in each, of every logit store that such a strategy is charged for; empty if the
            teacher is live.
        conditions: Conditions under which trials run.
    """
    alone, distilling = (
        (trainings, timings.student_epoch(workload, with_teacher=with_teacher) * epochs)
        for with_teacher in (False, True)
    )
    storing = []
    for times, images in stores:
        parts = min(times, conditions.slots)  # so many workers fill the store at the same time
        storing.append((parts, timings.per_image["teacher_logits"] * (times * images / parts)))
    shared, nothing = replace(conditions, dedicated=False), StrategyOverhead(TimeAndEnergy(0.0, 0.0, 0.0))

    def charged(work: list[tuple[int, WorkUsage]]) -> float | None:
        return sum_or_none(
            *(strategy_charge(count, one, timings.idle_for(count, shared), nothing, shared)[1] for count, one in work)
        )

    distilling_uj, alone_uj = charged([distilling, *storing]), charged([alone])
    if distilling_uj and alone_uj:
        return distilling_uj / alone_uj
    return sum(count * one.wall_s for count, one in [distilling, *storing]) / (alone[0] * alone[1].wall_s)
