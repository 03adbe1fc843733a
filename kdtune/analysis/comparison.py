"""Strategies side by side, refused where the comparison would not be fair."""

import json
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kdtune.analysis.collection import find_results
from kdtune.energy.carbon import Carbon
from kdtune.errors import UsageError
from kdtune.results.carbon_used import carbon_of
from kdtune.results.folder import StrategyFolder
from kdtune.results.inference import read_inference
from kdtune.results.outcome import SCHEMA_VERSION, build_result
from kdtune.results.shared import read_shared

#: How energy becomes CO2, or what makes that of how a strategy was run; None for as it was run.
WantedCarbon = Carbon | Callable[[Carbon], Carbon] | None

#: What has to agree, in the words of a message, and where it stands: keys of the study, or of ``resolved``.
_MUST_AGREE: dict[str, tuple[str, ...]] = {
    "data set": ("dataset", "data.train_limit"),
    "data set's files": ("resolved.data",),
    "split": ("validation", "split_seed"),
    "teacher": ("teacher", "teacher_seed", "teacher_training"),
    "student": ("student",),
    "loss": ("loss", "alpha"),
    "training": ("training",),
    "precision": ("resolved.precision",),
    "memory layout": ("resolved.memory_layout",),
    "teacher logits": ("resolved.teacher_logits",),
    "teacher's weights": ("resolved.teacher",),
    "search space": ("search_space",),
    "cores for each trial": ("resolved.cpus_per_trial",),
    "task": ("task",),
}


def as_json(results: list[dict[str, Any]]) -> dict[str, Any]:
    """The document that ``compare --json`` prints."""
    return {"schema_version": SCHEMA_VERSION, "results": results}


@dataclass(frozen=True)
class Comparison:
    """Results that may stand in one table.

    Attributes:
        results: The ``result.json`` documents; a strategy's name has its study before it where there are several.
        teacher: The teacher's record; None where none was used, or where they differ.
        warnings: What a reader has to be told.
        inference: The ``inference.json`` documents of those that have one, strategies named as in ``results``.
    """

    results: list[dict[str, Any]]
    teacher: dict[str, Any] | None
    warnings: list[str]
    inference: list[dict[str, Any]]

    def as_json(self) -> dict[str, Any]:
        """The document that ``compare --json`` prints."""
        return as_json(self.results)


def compare(
    places: Sequence[str | Path] = ("results",),
    *,
    allow_mismatch: bool = False,
    carbon: WantedCarbon = None,
) -> Comparison:
    """Put strategies side by side, their results made again from the files.

    Args:
        places: Folders with results.
        allow_mismatch: Compare also what differs in more than the strategy; the differences become warnings.
        carbon: How energy becomes CO2, or what makes that of how a strategy was run; as each was run without it.

    Raises:
        ResultsError: A folder has no results, or they are damaged.
        UsageError: They differ in more than the strategy; names every difference.
    """
    folders = find_results(places)
    differences = _differences(folders)
    if differences and not allow_mismatch:
        raise UsageError(
            "these results cannot stand in one table:\n"
            + "\n".join(f"  {line}" for line in differences)
            + "\nname the folders that belong together, or give --allow-mismatch"
        )
    results = [build_result(folder, carbon_for(folder, carbon)) for folder in folders]
    if len({(result["study"], result["strategy"]) for result in results}) < len(results):
        for folder, result in zip(folders, results, strict=True):  # the same study, run in several places
            result["strategy"] = f"{os.path.relpath(folder.path.parent)}/{result['strategy']}"
    elif len({result["study"] for result in results}) > 1:
        for result in results:
            result["strategy"] = f"{result['study']}/{result['strategy']}"
    warnings = [f"Not the same: {line}" for line in differences]
    qualities = {result["cost"]["quality"] or "not measured" for result in results}
    if len(qualities) > 1:
        told = "; ".join(f"{result['strategy']}: {result['cost']['quality'] or 'not measured'}" for result in results)
        warnings.append(f"Energy was obtained in different ways and does not compare as it stands ({told}).")
    attributions = {result["cost"]["attribution"] for result in results}
    if len(attributions) > 1:
        told = "; ".join(f"{result['strategy']}: {result['cost']['attribution']}" for result in results)
        warnings.append(f"Energy was attributed in different ways and does not compare as it stands ({told}).")
    carbons = {json.dumps(result["cost"]["carbon"], sort_keys=True) for result in results}
    if len(carbons) > 1:
        told = "; ".join(
            f"{r['strategy']}: PUE {r['cost']['carbon']['pue']:g}, {r['cost']['carbon']['intensity_g_per_kwh']:g} g/kWh"
            for r in results
        )
        warnings.append(f"kWh and CO2 were reported for different places; give --country or --preset ({told}).")
    teachers = {t["key"]: t for folder in folders if (t := read_shared(folder)["teacher"])}
    inference = [
        {**document, "strategy": result["strategy"]}
        for folder, result in zip(folders, results, strict=True)
        if (document := read_inference(folder))
    ]
    return Comparison(results, next(iter(teachers.values())) if len(teachers) == 1 else None, warnings, inference)


def carbon_for(folder: StrategyFolder, wanted: WantedCarbon) -> Carbon:
    """The figures to report a strategy with: as wanted, or else as it was run with."""
    if isinstance(wanted, Carbon):
        return wanted
    return wanted(carbon_of(folder)) if wanted else carbon_of(folder)


def _differences(folders: list[StrategyFolder]) -> list[str]:
    """In words, everything that differs and must not; values of each group of folders."""
    described = []
    for folder in folders:
        study = folder.read_study()
        table = study.model_dump(mode="json", exclude_none=True)
        limit = {"data.train_limit": study.data.train_limit}
        resolved = folder.resolved()
        # The name of a teacher's record has in it where it was measured; weights that were given are the same anywhere.
        resolved["teacher"] = study.teacher_weights or resolved.get("teacher")
        described.append({**table, **limit, **{f"resolved.{key}": value for key, value in resolved.items()}})
    lines = []
    for what, keys in _MUST_AGREE.items():
        for key in keys:
            groups: dict[str, list[str]] = {}
            for folder, table in zip(folders, described, strict=True):
                text = json.dumps(table.get(key), sort_keys=True, default=str)
                groups.setdefault(text, []).append(f"{folder.path.parent.name}/{folder.path.name}")
            if len(groups) > 1:
                lines.append(f"{what}: " + "; ".join(_tell(key, groups)))
    return lines


def _tell(key: str, groups: dict[str, list[str]]) -> list[str]:
    values = [json.loads(text) for text in groups]
    if all(isinstance(value, dict) for value in values):
        # Of a table, only the keys that differ.
        keys = sorted({k for value in values for k in value if len({json.dumps(v.get(k)) for v in values}) > 1})
        shown = [", ".join(f"{k} {value.get(k)}" for k in keys) for value in values]
    else:
        shown = [f"{key.removeprefix('resolved.')} {value}" for value in values]
    return [f"{text} ({', '.join(names)})" for text, names in zip(shown, groups.values(), strict=True)]
