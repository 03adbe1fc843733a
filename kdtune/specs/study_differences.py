"""Differences between two studies, in words."""

from collections.abc import Collection
from typing import Any

from kdtune.specs.identity import AS_IDENTITY
from kdtune.specs.study import Study

#: Number of differences that are listed; the others are counted.
_LISTED = 4


def differences(one: Study, other: Study, leave_out: Collection[str] = ()) -> list[str]:
    """Return the keys in which two studies differ, with both values: ``training.epochs (20 there, 30 now)``.

    What results do not depend on is not compared, such as the folders in which files lie.

    Args:
        one: The earlier study, ``there``.
        other: The later study, ``now``.
        leave_out: Keys of the study that are not compared.
    """
    there, now = (
        _flat(study.model_dump(mode="json", exclude=set(leave_out), exclude_none=True, context=AS_IDENTITY))
        for study in (one, other)
    )
    keys = [key for key in {**there, **now} if there.get(key) != now.get(key)]
    listed = [f"{key} ({_value(there, key)} there, {_value(now, key)} now)" for key in keys[:_LISTED]]
    return listed + ([f"{len(keys) - _LISTED} more"] if len(keys) > _LISTED else [])


def _flat(table: dict[str, Any], above: str = "") -> dict[str, Any]:
    """Return a nested table as one with dotted keys."""
    found: dict[str, Any] = {}
    for key, value in table.items():
        found |= _flat(value, f"{above}{key}.") if isinstance(value, dict) else {f"{above}{key}": value}
    return found


def _value(flat: dict[str, Any], key: str) -> str:
    return str(flat[key]) if key in flat else "none"
