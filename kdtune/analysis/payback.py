"""After how many predictions a student has saved, against its teacher, what finding it was charged.

Energy at the sockets: what the building adds and what a kilowatt-hour emits are the same on both sides.
"""

import math
from collections.abc import Sequence

from kdtune.analysis.verdicts import FEWEST, t_interval
from kdtune.energy.carbon import J_PER_KWH
from kdtune.results.cost_document import Cost
from kdtune.results.inference_document import Payback, Paybacks


def payback(charged_uj: int | None, saved_uj: Sequence[float], *, shared: bool = False) -> Payback:
    """When a charge is repaid, or that it never is, where the measurements differ by less than what they find.

    Args:
        charged_uj: What is to be repaid, in microjoules; None where it is not known.
        saved_uj: What the student takes less than the teacher for a prediction, in microjoules: a measurement each.
        shared: Whether idle power was split with another study's meanwhile, so that the machine alone shows more.
    """
    interval = t_interval(saved_uj)
    if shared:
        return Payback(charged_uj, unsettled="another study was metered on the machine meanwhile")
    if interval is None or interval.n < FEWEST or not interval.is_bounded:
        return Payback(charged_uj, unsettled=f"it takes {FEWEST} turns of each network that differ")
    if interval.low <= 0 <= interval.high:
        return Payback(charged_uj, unsettled="what is saved is within its own deviation from nothing")
    if interval.high < 0:
        return Payback(charged_uj, never=True)
    if charged_uj is None:
        return Payback(None)
    mean, fewest, most = (math.ceil(charged_uj / saving) for saving in (interval.mean, interval.high, interval.low))
    return Payback(charged_uj, mean, fewest, most)


def paybacks(saved_uj: Sequence[float], cost: Cost, *, shared: bool) -> Paybacks:
    """When what a strategy was charged by now is repaid, by what was measured then: without its teacher, and with it.

    Args:
        saved_uj: As of :func:`payback`.
        cost: What the strategy was charged.
        shared: As of :func:`payback`.
    """
    one_model, with_teacher = (payback(uj, saved_uj, shared=shared) for uj in charged_for_one_model(cost))
    return Paybacks(one_model, with_teacher)


def charged_for_one_model(cost: Cost) -> tuple[int | None, int | None]:
    """What one model of a strategy was charged, in microjoules: without its teacher, and with it.

    The mean over the repeats that came to a model, as ``per_repeat_kwh``. Whoever wants one model needs all of the
    teacher, so with it is its whole training; None where that is not known, as of a teacher that was given.
    """

    def raw_uj(kwh: float) -> int:
        return round(kwh / cost.carbon.pue * J_PER_KWH * 1e6)

    if cost.per_repeat_kwh is None:
        return None, None
    teacher_kwh = cost.teacher_kwh
    return raw_uj(cost.per_repeat_kwh), None if teacher_kwh is None else raw_uj(cost.per_repeat_kwh + teacher_kwh)
