"""Payback: the number of predictions after which a student has saved the energy that finding it was charged.

Savings are relative to the teacher. Energy is IT energy, since PUE and carbon intensity are the same on both sides.
"""

import math
from collections.abc import Sequence

from kdtune.analysis.verdicts import FEWEST, t_interval
from kdtune.energy.carbon import J_PER_KWH
from kdtune.results.cost_document import Cost
from kdtune.results.inference_document import Payback, Paybacks


def payback(charged_uj: int | None, saved_uj: Sequence[float], *, shared: bool = False) -> Payback:
    """Return when a charge is repaid, that it never is, or why the measurements do not settle it.

    Args:
        charged_uj: Energy to repay, in microjoules; None if unknown.
        saved_uj: Measurements of the energy that the student saves per prediction, in microjoules.
        shared: Whether idle power was shared with another study during the measurement, which distorts the savings.
    """
    interval = t_interval(saved_uj)
    if shared:
        return Payback(charged_uj, unsettled="another study was metered on the machine meanwhile")
    if interval is None or interval.n < FEWEST or not interval.is_bounded:
        return Payback(charged_uj, unsettled=f"it needs {FEWEST} differing turns of each network")
    if interval.low <= 0 <= interval.high:
        return Payback(charged_uj, unsettled="the measured saving is not significantly different from 0")
    if interval.high < 0:
        return Payback(charged_uj, never=True)
    if charged_uj is None:
        return Payback(None)
    mean, fewest, most = (math.ceil(charged_uj / saving) for saving in (interval.mean, interval.high, interval.low))
    return Payback(charged_uj, mean, fewest, most)


def paybacks(saved_uj: Sequence[float], cost: Cost, *, shared: bool) -> Paybacks:
    """Return when a strategy's current charge is repaid, without its teacher and with it.

    Args:
        saved_uj: See :func:`payback`.
        cost: Cost of the strategy.
        shared: See :func:`payback`.
    """
    one_model, with_teacher = (payback(uj, saved_uj, shared=shared) for uj in charged_for_one_model(cost))
    return Paybacks(one_model, with_teacher)


def charged_for_one_model(cost: Cost) -> tuple[int | None, int | None]:
    """Return the energy charged to one model of a strategy, in microjoules, without its teacher and with it.

    The charge is the mean over the repeats that have a model, like ``per_repeat_kwh``. One model needs the whole
    teacher, so the second value includes all of its training, or the mean of several; it is None if that is unknown,
    as for given teachers.
    """

    def raw_uj(kwh: float) -> int:
        return round(kwh / cost.carbon.pue * J_PER_KWH * 1e6)

    if cost.per_repeat_kwh is None:
        return None, None
    teacher_kwh = None if cost.teacher_kwh is None else cost.teacher_kwh / (cost.teachers or 1)
    return raw_uj(cost.per_repeat_kwh), None if teacher_kwh is None else raw_uj(cost.per_repeat_kwh + teacher_kwh)
