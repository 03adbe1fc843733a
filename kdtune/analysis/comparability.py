"""Check of the settings that must agree before results of strategies may be compared."""

import json
import os
from collections import Counter
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

from kdtune.results.folder import StrategyFolder
from kdtune.specs.identity import AS_IDENTITY

#: Settings that must agree, by their name in messages, with the keys of the study or of ``resolved`` that hold them.
MUST_AGREE: dict[str, tuple[str, ...]] = {
    "data set": ("dataset", "data.train_limit"),
    "data set's files": ("resolved.data",),
    "normalisation of the images": ("data.mean", "data.std"),
    "split": ("validation", "split_seed"),
    "teacher": ("teacher", "teacher_seed", "teacher_training"),
    "what varies between repeats": ("vary",),
    "student": ("student",),
    "loss": ("loss", "alpha"),
    "training": ("training",),
    "precision": ("resolved.precision",),
    "memory layout": ("resolved.memory_layout",),
    "compilation": ("resolved.compile",),
    "teacher logits": ("resolved.teacher_logits",),
    "teacher's weights": ("resolved.teacher",),
    "synthetic images": ("synthesis",),
    "selection": ("selection",),
    "search space": ("search_space",),
    "cores for each trial": ("resolved.cpus_per_trial",),
    "task": ("task",),
    "objective": ("objective",),
    "margin": ("margin",),
}


def differences(folders: Sequence[StrategyFolder], apart_from: Collection[str] = ()) -> list[str]:
    """Describe every setting that differs but must agree, with the folders that have each value.

    If all strategies of a study have the same value, the study is named instead of them.

    Args:
        folders: Folders of strategies.
        apart_from: Keys of :data:`MUST_AGREE` that may differ.
    """
    described = [_described(folder) for folder in folders]
    names = _names([folder.path.parent for folder in folders])
    of_study: dict[Path, list[str]] = {}
    for folder in folders:
        of_study.setdefault(folder.path.parent, []).append(folder.path.name)
    lines = []
    for what, keys in MUST_AGREE.items():
        for key in keys if what not in apart_from else ():
            groups: dict[str, dict[Path, list[str]]] = {}
            for folder, table in zip(folders, described, strict=True):
                text = json.dumps(table.get(key), sort_keys=True, default=str)
                groups.setdefault(text, {}).setdefault(folder.path.parent, []).append(folder.path.name)
            if len(groups) > 1:
                whose = [_whose(group, of_study, names) for group in groups.values()]
                values = zip(_shown(key, [json.loads(text) for text in groups]), whose, strict=True)
                lines.append(f"{what}: " + "; ".join(f"{text} ({folders})" for text, folders in values))
    return lines


def _names(studies: Sequence[Path]) -> dict[Path, str]:
    """Return the name of each study's folder, or its path if several folders have the same name."""
    count = Counter(study.name for study in set(studies))
    return {study: study.name if count[study.name] == 1 else os.path.relpath(study) for study in studies}


def _described(folder: StrategyFolder) -> dict[str, Any]:
    """Return the values of all keys of :data:`MUST_AGREE`."""
    study, resolved = folder.read_study(), folder.resolved()
    table = study.model_dump(mode="json", exclude_none=True, context=AS_IDENTITY)
    # The name of a teacher's folder depends on the machine, but given weights are the same everywhere.
    resolved["teacher"] = study.teacher_weights or resolved.get("teacher")
    data = {f"data.{key}": getattr(study.data, key) for key in ("train_limit", "mean", "std")}
    table["objective"] = study.objective
    return {**table, **data, **{f"resolved.{key}": value for key, value in resolved.items()}}


def _shown(key: str, values: list[Any]) -> list[str]:
    """Format the values of a key. For tables, only the entries that differ are shown."""
    if all(isinstance(value, dict) for value in values):
        keys = sorted({k for value in values for k in value if len({json.dumps(v.get(k)) for v in values}) > 1})
        return [", ".join(f"{k} {in_words(value.get(k))}" for k in keys) for value in values]
    return [f"{key.removeprefix('resolved.')} {in_words(value)}" for value in values]


def _whose(group: dict[Path, list[str]], of_study: dict[Path, list[str]], names: dict[Path, str]) -> str:
    """Return the names of the strategies with a value, or the study's name if all of its strategies have it."""
    return ", ".join(
        names[study]
        if strategies == of_study[study] and len(strategies) > 1
        else ", ".join(f"{names[study]}/{strategy}" for strategy in strategies)
        for study, strategies in group.items()
    )


def in_words(value: object) -> str:
    """Format a setting for readers."""
    if isinstance(value, list | tuple):
        return " ".join(map(str, value)) or "none"
    if isinstance(value, dict):
        return ", ".join(f"{key} {in_words(one)}" for key, one in value.items())
    return "none" if value is None else str(value)
