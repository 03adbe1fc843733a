"""What one distillation costs in trainings of the student alone: how long that may train at equal cost."""

from collections.abc import Collection
from dataclasses import replace

from kdtune.energy.flops import Workload
from kdtune.forecast.strategy_estimate import Charge, Conditions, Overhead, Timings, Usage, add, strategy_charge


def energy_multiple(
    timings: Timings,
    workload: Workload,
    epochs: int,
    trainings: int,
    asked: Collection[tuple[int, int]],
    conditions: Conditions,
) -> float:
    """The charged training energy of distillations over that of as many trainings of the student alone.

    Training energy is what students and, where its logits are replayed, the teacher take while they work, with the
    memory's power for the cores that they hold; starting workers and what is idle are no part of it. A modelled energy
    is time on the same cores in joules, so there the multiple is one of times; and so it is where a counter did not
    move while steps were timed.

    Args:
        timings: Of steps with and without the teacher, of evaluations, and of the teacher's answers if they are kept.
        workload: Sizes of the networks and data.
        epochs: Of a training.
        trainings: Of a strategy with one in each repeat.
        asked: Of each store of the teacher's answers that such a strategy is charged: epochs, and images in one; none
            for a teacher that is asked live.
        conditions: How trials run.
    """
    alone, taught = (
        (trainings, timings.student_epoch(workload, with_teacher=with_teacher) * epochs)
        for with_teacher in (False, True)
    )
    asking = []
    for times, images in asked:
        parts = min(times, conditions.slots)  # filled side by side
        asking.append((parts, timings.per_image["teacher_logits"] * (times * images / parts)))
    held, nothing = replace(conditions, dedicated=False), Overhead(Charge(0.0, 0.0, 0.0))

    def charged(work: list[tuple[int, Usage]]) -> float | None:
        return add(
            *(strategy_charge(count, one, timings.idle_for(count, held), nothing, held)[1] for count, one in work)
        )

    of_uj, to_uj = charged([taught, *asking]), charged([alone])
    if of_uj and to_uj:
        return of_uj / to_uj
    return sum(count * one.wall_s for count, one in [taught, *asking]) / (alone[0] * alone[1].wall_s)
