"""After how many predictions a student has saved, against its teacher, what finding it was charged.

Energy at the sockets: what the building adds and what a kilowatt-hour emits are the same on both sides.
"""

import math
from dataclasses import asdict, dataclass
from typing import Any

from kdtune.energy.carbon import J_PER_KWH


@dataclass(frozen=True)
class Payback:
    """When a charge is repaid.

    Attributes:
        charged_uj: What is to be repaid, in microjoules; None where it is not known.
        predictions: The first number of predictions that repays it; None where there is none, or it is not known.
        never: Whether it is known that no number does: the student takes no less than the teacher.
    """

    charged_uj: int | None
    predictions: int | None
    never: bool = False

    def as_record(self) -> dict[str, Any]:
        """As it stands in ``inference.json``."""
        return asdict(self)


def payback(charged_uj: int | None, teacher_uj: float | None, student_uj: float | None) -> Payback:
    """When a charge is repaid.

    Args:
        charged_uj: What is to be repaid, in microjoules; None where it is not known.
        teacher_uj: What the teacher takes for a prediction, in microjoules; None where it is not known.
        student_uj: As ``teacher_uj``, of the student.
    """
    if teacher_uj is None or student_uj is None:
        return Payback(charged_uj, None)
    saved_uj = teacher_uj - student_uj
    if saved_uj <= 0:
        return Payback(charged_uj, None, never=True)
    return Payback(charged_uj, None if charged_uj is None else math.ceil(charged_uj / saved_uj))


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
