"""What has to be alike before strategies may be held against each other, and in what some are not."""

import json
import os
from collections import Counter
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

from kdtune.results.folder import StrategyFolder

#: What has to agree, in the words of a message, and where it stands: keys of the study, or of ``resolved``.
MUST_AGREE: dict[str, tuple[str, ...]] = {
    "data set": ("dataset", "data.train_limit"),
    "data set's files": ("resolved.data",),
    "normalisation of the images": ("data.mean", "data.std"),
    "split": ("validation", "split_seed"),
    "teacher": ("teacher", "teacher_seed", "teacher_training"),
    "student": ("student",),
    "loss": ("loss", "alpha"),
    "training": ("training",),
    "precision": ("resolved.precision",),
    "memory layout": ("resolved.memory_layout",),
    "compilation": ("resolved.compile",),
    "teacher logits": ("resolved.teacher_logits",),
    "teacher's weights": ("resolved.teacher",),
    "search space": ("search_space",),
    "cores for each trial": ("resolved.cpus_per_trial",),
    "task": ("task",),
}


def differences(folders: Sequence[StrategyFolder], apart_from: Collection[str] = ()) -> list[str]:
    """In words, everything that differs and must not; values of each group of folders.

    A study all of whose strategies have a value stands for them.

    Args:
        folders: Of strategies.
        apart_from: What may differ all the same, as :data:`MUST_AGREE` names it.
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
                told = zip(_shown(key, [json.loads(text) for text in groups]), whose, strict=True)
                lines.append(f"{what}: " + "; ".join(f"{text} ({folders})" for text, folders in told))
    return lines


def _names(studies: Sequence[Path]) -> dict[Path, str]:
    """What each study's folder is called: its name, or where it lies if another one is called so too."""
    count = Counter(study.name for study in set(studies))
    return {study: study.name if count[study.name] == 1 else os.path.relpath(study) for study in studies}


def _described(folder: StrategyFolder) -> dict[str, Any]:
    """All that :data:`MUST_AGREE` looks at."""
    study, resolved = folder.read_study(), folder.resolved()
    table = study.model_dump(mode="json", exclude_none=True)
    # The name of a teacher's record has in it where it was measured; weights that were given are the same anywhere.
    resolved["teacher"] = study.teacher_weights or resolved.get("teacher")
    data = {f"data.{key}": getattr(study.data, key) for key in ("train_limit", "mean", "std")}
    return {**table, **data, **{f"resolved.{key}": value for key, value in resolved.items()}}


def _shown(key: str, values: list[Any]) -> list[str]:
    """Values of a key in words; of tables only what differs."""
    if all(isinstance(value, dict) for value in values):
        keys = sorted({k for value in values for k in value if len({json.dumps(v.get(k)) for v in values}) > 1})
        return [", ".join(f"{k} {in_words(value.get(k))}" for k in keys) for value in values]
    return [f"{key.removeprefix('resolved.')} {in_words(value)}" for value in values]


def _whose(group: dict[Path, list[str]], of_study: dict[Path, list[str]], names: dict[Path, str]) -> str:
    """The strategies that have a value; a study for all of its own."""
    return ", ".join(
        names[study]
        if strategies == of_study[study] and len(strategies) > 1
        else ", ".join(f"{names[study]}/{strategy}" for strategy in strategies)
        for study, strategies in group.items()
    )


def in_words(value: object) -> str:
    """A setting as a reader would write it."""
    if isinstance(value, list | tuple):
        return " ".join(map(str, value)) or "none"
    if isinstance(value, dict):
        return ", ".join(f"{key} {in_words(one)}" for key, one in value.items())
    return "none" if value is None else str(value)
