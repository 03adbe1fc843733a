"""Which studies differ in one thing only, so that they can be held against each other, and why others cannot."""

import itertools
import json
from collections.abc import Callable, Collection, Iterator, Sequence
from typing import Any

from kdtune.analysis.comparability import in_words
from kdtune.paper.study_runs import StudyRun

#: What two studies may differ in that are held against each other, beside what the claim is about.
FREE = {"name", "description", "strategies", "attribution", "repeats", "seed", "teacher_logits", "numerics"}

#: What tells one copy of a data set from another.
FILES = "data set's files"


def group_by_differences(studies: Sequence[StudyRun], *apart_from: str) -> list[list[StudyRun]]:
    """Studies in groups that differ in nothing that matters, apart from some keys such as ``training.batch_size``."""
    groups: dict[str, list[StudyRun]] = {}
    for study in studies:
        groups.setdefault(json.dumps(_compared(study, apart_from), sort_keys=True), []).append(study)
    return list(groups.values())


def _compared(study: StudyRun, apart_from: Collection[str]) -> dict[str, Any]:
    """What has to be alike in studies that are paired, by dotted key."""
    table = {**study.study.model_dump(mode="json", exclude=FREE), FILES: study.first.folder.resolved().get("data")}
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
    """Of studies that could be held against each other but for something else: which, and what it is.

    Args:
        strategy: That is compared.
        apart_from: Keys in which studies of a pair may differ; they have to in the first.

    Returns:
        From studies to words on the two that differ in the fewest keys; empty where no two differ in the first one.
    """

    def tell(studies: Sequence[StudyRun]) -> str:
        there = [study for study in studies if strategy in study.strategies]
        found = []
        for one, other in itertools.combinations(there, 2):
            values = [dict(_flat(study.study.model_dump(mode="json"))) for study in (one, other)]
            if values[0][apart_from[0]] == values[1][apart_from[0]]:
                continue
            first, second = (_compared(study, apart_from) for study in (one, other))
            keys = [key for key in {**first, **second} if first.get(key) != second.get(key)]
            if "dataset" in keys:  # then its files are others in any case
                keys = [key for key in keys if key != FILES]
            told = ((key, in_words(first.get(key)), in_words(second.get(key))) for key in keys)
            apart = ", ".join(f"{key} ({value} and {another})" for key, value, another in told)
            found.append((len(keys), f"{one.study.name} and {other.study.name} are no pair: they differ in {apart}"))
        return min(found, key=lambda pair: pair[0])[1] if found else ""

    return tell
