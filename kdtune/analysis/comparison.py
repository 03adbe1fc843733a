"""Strategies side by side, refused where the comparison would not be fair."""

import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from kdtune.analysis.collection import Places, find_results
from kdtune.analysis.comparability import differences
from kdtune.analysis.payback import paybacks
from kdtune.energy.carbon import Carbon
from kdtune.errors import UsageError
from kdtune.results.carbon_settings import carbon_of
from kdtune.results.folder import StrategyFolder
from kdtune.results.inference_document import read_inference
from kdtune.results.outcome import SCHEMA_VERSION, build_result
from kdtune.results.shared_costs import read_shared

#: How energy becomes CO2, or what makes that of how a strategy was run; None for as it was run.
WantedCarbon = Carbon | Callable[[Carbon], Carbon] | None


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
        inference: The ``inference.json`` documents of those that have one, strategies named as in ``results``, with
            the payback of what each is charged by now.
    """

    results: list[dict[str, Any]]
    teacher: dict[str, Any] | None
    warnings: list[str]
    inference: list[dict[str, Any]]

    def as_json(self) -> dict[str, Any]:
        """The document that ``compare --json`` prints."""
        return as_json(self.results)


def compare(
    places: Places = "results",
    *,
    allow_mismatch: bool = False,
    carbon: WantedCarbon = None,
) -> Comparison:
    """Put strategies side by side, their results made again from the files.

    Args:
        places: A folder with results, or several; what holds none is skipped with a warning.
        allow_mismatch: Compare also what differs in more than the strategy; the differences become warnings.
        carbon: How energy becomes CO2, or what makes that of how a strategy was run; as each was run without it.

    Raises:
        ResultsError: No folder has results, or they are damaged.
        UsageError: They differ in more than the strategy; names every difference.
    """
    folders = find_results(places)
    apart = differences(folders)
    if apart and not allow_mismatch:
        raise UsageError(
            "these results cannot stand in one table:\n"
            + "\n".join(f"  {line}" for line in apart)
            + "\nname the folders that belong together, or give --allow-mismatch"
        )
    results = [build_result(folder, carbon_for(folder, carbon)) for folder in folders]
    if len({(result["study"], result["strategy"]) for result in results}) < len(results):
        for folder, result in zip(folders, results, strict=True):  # the same study, run in several places
            result["strategy"] = f"{os.path.relpath(folder.path.parent)}/{result['strategy']}"
    elif len({result["study"] for result in results}) > 1:
        for result in results:
            result["strategy"] = f"{result['study']}/{result['strategy']}"
    warnings = [f"Not the same: {line}" for line in apart]
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
        # What a strategy was charged may have grown since it was measured.
        {**document, "strategy": result["strategy"], "payback": paybacks(document, result["cost"])}
        for folder, result in zip(folders, results, strict=True)
        if (document := read_inference(folder))
    ]
    return Comparison(results, next(iter(teachers.values())) if len(teachers) == 1 else None, warnings, inference)


def carbon_for(folder: StrategyFolder, wanted: WantedCarbon) -> Carbon:
    """The figures to report a strategy with: as wanted, or else as it was run with."""
    if isinstance(wanted, Carbon):
        return wanted
    return wanted(carbon_of(folder)) if wanted else carbon_of(folder)
