"""Strategies side by side, refused where the comparison would not be fair."""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from kdtune.analysis.comparability import differences
from kdtune.analysis.find_results import Places, find_results
from kdtune.analysis.payback import paybacks
from kdtune.energy.carbon import Carbon
from kdtune.errors import UsageError
from kdtune.results.carbon_settings import carbon_of
from kdtune.results.cost_document import Cost
from kdtune.results.folder import StrategyFolder
from kdtune.results.inference_document import InferenceDocument, read_inference
from kdtune.results.outcome import build_result
from kdtune.results.shared_costs import read_shared
from kdtune.results.shared_document import Teacher
from kdtune.results.strategy_result import SCHEMA_VERSION, StrategyResult

#: How energy becomes CO2, or what makes that of how a strategy was run; None for as it was run.
WantedCarbon = Carbon | Callable[[Carbon], Carbon] | None


def as_json(outcomes: Sequence[StrategyResult]) -> dict[str, Any]:
    """The document that ``compare --json`` prints."""
    return {"schema_version": SCHEMA_VERSION, "results": [outcome.as_json() for outcome in outcomes]}


@dataclass(frozen=True)
class Comparison:
    """Results that may stand in one table.

    Attributes:
        outcomes: Of the strategies; a strategy's name has its study before it where there are several.
        teacher: None where none was used, or where they differ.
        warnings: What a reader has to be told.
        inference: What was measured of the students in use, where that was, strategies named as in ``outcomes``, with
            the payback of what each is charged by now.
    """

    outcomes: Sequence[StrategyResult]
    teacher: Teacher | None
    warnings: list[str]
    inference: Sequence[InferenceDocument]

    @property
    def results(self) -> list[dict[str, Any]]:
        """The ``result.json`` documents of :attr:`outcomes`."""
        return [outcome.as_json() for outcome in self.outcomes]

    def as_json(self) -> dict[str, Any]:
        """The document that ``compare --json`` prints."""
        return as_json(self.outcomes)


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
    outcomes = _told_apart(folders, [build_result(folder, carbon_for(folder, carbon)) for folder in folders])
    warnings = [f"Not the same: {line}" for line in apart] + _energy_warnings(outcomes)
    teachers = {t.key: t for folder in folders if (t := read_shared(folder).teacher)}
    inference = [
        # What a strategy was charged may have grown since it was measured.
        replace(
            measured,
            strategy=outcome.strategy,
            payback=paybacks(measured.saved_uj_per_image, outcome.cost, shared=measured.is_shared),
        )
        for folder, outcome in zip(folders, outcomes, strict=True)
        if (measured := read_inference(folder))
    ]
    return Comparison(outcomes, next(iter(teachers.values())) if len(teachers) == 1 else None, warnings, inference)


def _told_apart(folders: Sequence[StrategyFolder], results: Sequence[StrategyResult]) -> list[StrategyResult]:
    """Results whose strategies have names of their own: with the study before them, or its folder."""
    if len({(result.study, result.strategy) for result in results}) < len(results):
        names = [f"{os.path.relpath(folder.path.parent)}/{folder.path.name}" for folder in folders]
    elif len({result.study for result in results}) > 1:
        names = [f"{result.study}/{result.strategy}" for result in results]
    else:
        return list(results)
    return [replace(result, strategy=name) for result, name in zip(results, names, strict=True)]


def _energy_warnings(results: Sequence[StrategyResult]) -> list[str]:
    """In which respects the energies of strategies do not compare as they stand."""

    def each(described: Callable[[Cost], str]) -> str:
        return "; ".join(f"{result.strategy}: {described(result.cost)}" for result in results)

    warnings = []
    if len({result.cost.quality for result in results}) > 1:
        told = each(lambda cost: cost.quality or "not measured")
        warnings.append(f"Energy was obtained in different ways and does not compare as it stands ({told}).")
    if len({result.cost.attribution for result in results}) > 1:
        told = each(lambda cost: cost.attribution)
        warnings.append(f"Energy was attributed in different ways and does not compare as it stands ({told}).")
    if len({result.cost.carbon for result in results}) > 1:
        told = each(lambda cost: f"PUE {cost.carbon.pue:g}, {cost.carbon.intensity_g_per_kwh:g} g/kWh")
        warnings.append(f"kWh and CO2 were reported for different places; give --country or --preset ({told}).")
    return warnings


def carbon_for(folder: StrategyFolder, wanted: WantedCarbon) -> Carbon:
    """The figures to report a strategy with: as wanted, or else as it was run with."""
    if isinstance(wanted, Carbon):
        return wanted
    return wanted(carbon_of(folder)) if wanted else carbon_of(folder)
