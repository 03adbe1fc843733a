"""Comparison of strategies, which refuses results that cannot be compared fairly."""

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
from kdtune.results.shared_document import Teacher
from kdtune.results.shared_inputs import read_shared
from kdtune.results.strategy_result import SCHEMA_VERSION, StrategyResult

#: Settings for CO2, or a function that changes the settings with which a strategy ran; None for those settings.
WantedCarbon = Carbon | Callable[[Carbon], Carbon] | None


def as_json(outcomes: Sequence[StrategyResult]) -> dict[str, Any]:
    """Return the document that ``compare --json`` prints."""
    return {"schema_version": SCHEMA_VERSION, "results": [outcome.as_json() for outcome in outcomes]}


@dataclass(frozen=True)
class Comparison:
    """Results that can be shown in one table.

    Attributes:
        outcomes: Results of the strategies. If there are several studies, each name starts with the study.
        teacher: The teacher; None if none was used or if the teachers differ.
        warnings: Warnings for the reader.
        inference: Inference measurements of the strategies that have one, named as in ``outcomes``. The payback is
            computed from the current charges.
        folders: Folder of each of ``outcomes``.
    """

    outcomes: Sequence[StrategyResult]
    teacher: Teacher | None
    warnings: list[str]
    inference: Sequence[InferenceDocument]
    folders: Sequence[StrategyFolder]

    @property
    def results(self) -> list[dict[str, Any]]:
        """Documents of :attr:`outcomes` in the format of ``result.json``."""
        return [outcome.as_json() for outcome in self.outcomes]

    def as_json(self) -> dict[str, Any]:
        """Return the document that ``compare --json`` prints."""
        return as_json(self.outcomes)


def compare(
    places: Places = "results",
    *,
    allow_mismatch: bool = False,
    carbon: WantedCarbon = None,
) -> Comparison:
    """Compare strategies, whose results are computed from the files in their folders.

    Args:
        places: One or several folders with results. Places without results are skipped with a warning.
        allow_mismatch: Compare results although they differ in more than the strategy; the differences become warnings.
        carbon: Settings for CO2, or a function that changes those with which a strategy ran; by default the settings
            with which each strategy ran.

    Raises:
        ResultsError: No folder has results, or they are damaged.
        UsageError: The results differ in more than the strategy. The message names every difference.
    """
    folders = find_results(places)
    apart = differences(folders)
    if apart and not allow_mismatch:
        raise UsageError(
            "these results cannot be compared:\n"
            + "\n".join(f"  {line}" for line in apart)
            + "\nname folders that belong together, or give --allow-mismatch"
        )
    outcomes = _with_unique_names(folders, [build_result(folder, carbon_for(folder, carbon)) for folder in folders])
    warnings = [f"Not the same: {line}" for line in apart] + _energy_warnings(outcomes) + _not_begun(folders)
    teachers = {t.key: t for folder in folders if (t := read_shared(folder).mean_teacher)}
    inference = [
        # The charge may have increased since the measurement.
        replace(
            measured,
            strategy=outcome.strategy,
            payback=paybacks(measured.saved_uj_per_image, outcome.cost, shared=measured.is_shared),
        )
        for folder, outcome in zip(folders, outcomes, strict=True)
        if (measured := read_inference(folder))
    ]
    teacher = next(iter(teachers.values())) if len(teachers) == 1 else None
    return Comparison(outcomes, teacher, warnings, inference, folders)


def _with_unique_names(folders: Sequence[StrategyFolder], results: Sequence[StrategyResult]) -> list[StrategyResult]:
    """Return the results with unique names of strategies, prefixed with the study or its folder if necessary."""
    if len({(result.study, result.strategy) for result in results}) < len(results):
        names = [f"{os.path.relpath(folder.path.parent)}/{folder.path.name}" for folder in folders]
    elif len({result.study for result in results}) > 1:
        names = [f"{result.study}/{result.strategy}" for result in results]
    else:
        return list(results)
    return [replace(result, strategy=name) for result, name in zip(results, names, strict=True)]


def _energy_warnings(results: Sequence[StrategyResult]) -> list[str]:
    """Return warnings about differences between strategies that limit the comparison of their energies."""

    def each(described: Callable[[Cost], str]) -> str:
        return "; ".join(f"{result.strategy}: {described(result.cost)}" for result in results)

    warnings = []
    if len({result.cost.quality for result in results}) > 1:
        details = each(lambda cost: cost.quality or "not measured")
        warnings.append(f"Energy was obtained in different ways and cannot be compared directly ({details}).")
    if len({result.cost.attribution for result in results}) > 1:
        details = each(lambda cost: cost.attribution)
        warnings.append(f"Energy was attributed in different ways and cannot be compared directly ({details}).")
    if len({result.cost.carbon for result in results}) > 1:
        details = each(lambda cost: f"PUE {cost.carbon.pue:g}, {cost.carbon.intensity_g_per_kwh:g} g/kWh")
        warnings.append(f"kWh and CO2 were reported for different places; give --country or --preset ({details}).")
    return warnings


def _not_begun(folders: Sequence[StrategyFolder]) -> list[str]:
    """Return a warning for each study that is compared as a whole although some of its strategies have not begun."""
    return [
        f"Not begun yet: {', '.join(left)}. Unless a command is running this study, continue with: "
        f"{study.resume_command}"
        for study in dict.fromkeys(folder.study for folder in folders)
        if set(study.strategies()) <= set(folders) and (left := study.left_to_begin())
    ]


def carbon_for(folder: StrategyFolder, wanted: WantedCarbon) -> Carbon:
    """Return the wanted settings for CO2, or those with which the strategy ran."""
    if isinstance(wanted, Carbon):
        return wanted
    return wanted(carbon_of(folder)) if wanted else carbon_of(folder)
