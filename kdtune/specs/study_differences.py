"""In what two studies differ, in words for their user."""

from collections.abc import Collection
from typing import Any

from kdtune.specs.study import Study

#: So many are told one by one.
_TOLD = 4


def differences(one: Study, other: Study, leave_out: Collection[str] = ()) -> list[str]:
    """Each key in which two studies differ, with both values: ``training.epochs (20 there, 30 now)``.

    Args:
        one: The earlier one, ``there``.
        other: The later one, ``now``.
        leave_out: Keys of the study that are not compared.
    """
    there, now = (
        _flat(study.model_dump(mode="json", exclude=set(leave_out), exclude_none=True)) for study in (one, other)
    )
    keys = [key for key in {**there, **now} if there.get(key) != now.get(key)]
    told = [f"{key} ({_value(there, key)} there, {_value(now, key)} now)" for key in keys[:_TOLD]]
    return told + ([f"{len(keys) - _TOLD} more"] if len(keys) > _TOLD else [])


def _flat(table: dict[str, Any], above: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in table.items():
        found |= _flat(value, f"{above}{key}.") if isinstance(value, dict) else {f"{above}{key}": value}
    return found


def _value(flat: dict[str, Any], key: str) -> str:
    return str(flat[key]) if key in flat else "none"
