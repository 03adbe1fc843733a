"""After how many predictions a student has saved, against its teacher, what finding it was charged.

Energy at the sockets: what the building adds and what a kilowatt-hour emits are the same on both sides.
"""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from kdtune.analysis.verdicts import FEWEST, Interval, t_interval
from kdtune.energy.attribution import SHARED_NODE
from kdtune.energy.carbon import J_PER_KWH


@dataclass(frozen=True)
class Payback:
    """When a charge is repaid.

    Attributes:
        charged_uj: What is to be repaid, in microjoules; None where it is not known.
        predictions: After how many predictions it is repaid at the mean saving; None where it never is, or the charge
            is not known, or it is not settled.
        fewest: The same at the most that the interval of the saving allows.
        most: The same at the least.
        never: Whether no number repays it: the whole interval of the saving is below 0.
        unsettled: Why the measurement tells neither; empty where it does.
    """

    charged_uj: int | None
    predictions: int | None = None
    fewest: int | None = None
    most: int | None = None
    never: bool = False
    unsettled: str = ""

    def as_record(self) -> dict[str, Any]:
        """As it stands in ``inference.json``."""
        return asdict(self)


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


def saving_of(document: dict[str, Any]) -> Interval | None:
    """The interval of what an ``inference.json`` says is saved for a prediction, in microjoules."""
    return t_interval(document["saved_uj_per_image"])


def paybacks(document: dict[str, Any], cost: dict[str, Any]) -> dict[str, Any]:
    """When what a strategy was charged by now is repaid, by what was measured then: without its teacher, and with it.

    Args:
        document: Of an ``inference.json``: what each turn saved, and both networks' flags.
        cost: Of a ``result.json``.
    """
    shared = any(SHARED_NODE in document[role]["flags"] for role in ("teacher", "student"))
    charged = zip(("one_model", "with_teacher"), charged_for_one_model(cost), strict=True)
    return {name: payback(uj, document["saved_uj_per_image"], shared=shared).as_record() for name, uj in charged}


def charged_for_one_model(cost: dict[str, Any]) -> tuple[int | None, int | None]:
    """What one model of a strategy was charged, in microjoules: without its teacher, and with it.

    The mean over the repeats that came to a model, as ``per_repeat_kwh``. Whoever wants one model needs all of the
    teacher, so with it is its whole training; None where that is not known, as of a teacher that was given.

    Args:
        cost: Of a ``result.json``.
    """
    charged_kwh, teacher_kwh, pue = cost["per_repeat_kwh"], cost["teacher_kwh"], cost["carbon"]["pue"]

    def raw_uj(kwh: float) -> int:
        return round(kwh / pue * J_PER_KWH * 1e6)

    if charged_kwh is None:
        return None, None
    return raw_uj(charged_kwh), None if teacher_kwh is None else raw_uj(charged_kwh + teacher_kwh)
