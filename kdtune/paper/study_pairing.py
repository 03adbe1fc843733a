"""Pairing of studies that differ in one setting only, so that they can be compared."""

import itertools
import json
from collections.abc import Callable, Collection, Iterator, Sequence
from typing import Any

from kdtune.analysis.comparability import in_words
from kdtune.paper.study_runs import StudyRun
from kdtune.specs.identity import AS_IDENTITY

#: Settings in which paired studies may differ, apart from those that the claim is about.
FREE = {"name", "description", "strategies", "attribution", "repeats", "seed", "teacher_logits", "numerics"}

#: Key of the fingerprint of the data set's files.
FILES = "data set's files"


def group_by_differences(studies: Sequence[StudyRun], *apart_from: str) -> list[list[StudyRun]]:
    """Group studies that may differ only in the given keys, such as ``training.batch_size``, and in :data:`FREE`."""
    groups: dict[str, list[StudyRun]] = {}
    for study in studies:
        groups.setdefault(json.dumps(_compared(study, apart_from), sort_keys=True), []).append(study)
    return list(groups.values())


def _compared(study: StudyRun, apart_from: Collection[str]) -> dict[str, Any]:
    """Return the settings that must be equal in paired studies, by dotted key."""
    table = study.study.model_dump(mode="json", exclude=FREE, context=AS_IDENTITY)
    table[FILES] = study.first.folder.resolved().get("data")
    return {
        key: value
        for key, value in _flat(table)
        if not any(key == one or key.startswith(f"{one}.") for one in apart_from)
    }


def _flat(table: dict[str, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in table.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{above}{key}.")
        else:
            yield above + key, value


def why_unpaired(strategy: str, *apart_from: str) -> Callable[[Sequence[StudyRun]], str]:
    """Return a function that describes why studies form no pair.

    Args:
        strategy: The strategy that is compared.
        apart_from: Keys in which the studies of a pair may differ. They must differ in the first one.

    Returns:
        A function that describes, for given studies, the two that differ in the fewest keys. Its result is empty if no
        two studies differ in the first key.
    """

    def describe(studies: Sequence[StudyRun]) -> str:
        there = [study for study in studies if strategy in study.strategies]
        found = []
        for one, other in itertools.combinations(there, 2):
            values = [dict(_flat(study.study.model_dump(mode="json"))) for study in (one, other)]
            if values[0][apart_from[0]] == values[1][apart_from[0]]:
                continue
            first, second = (_compared(study, apart_from) for study in (one, other))
            keys = [key for key in {**first, **second} if first.get(key) != second.get(key)]
            if "dataset" in keys:  # then its files differ in any case
                keys = [key for key in keys if key != FILES]
            pairs = ((key, in_words(first.get(key)), in_words(second.get(key))) for key in keys)
            apart = ", ".join(f"{key} ({value} and {another})" for key, value, another in pairs)
            found.append((len(keys), f"{one.study.name} and {other.study.name} are no pair: they differ in {apart}"))
        return min(found, key=lambda pair: pair[0])[1] if found else ""

    return describe
