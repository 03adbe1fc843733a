"""Checks that a strategy can be resumed: neither its files nor its components were changed since it began."""

from collections.abc import Iterator
from pathlib import Path

from kdtune.catalog.builtin import LOSSES, STRATEGIES, TEMPERATURES
from kdtune.catalog.catalog import Catalog
from kdtune.catalog.component_digest import change_since
from kdtune.catalog.references import moved_along
from kdtune.errors import ResultsError, SpecError
from kdtune.results.documents import REMEDY
from kdtune.results.flat_points import flat_trial_id
from kdtune.results.folder import StrategyFolder
from kdtune.results.trial import Trial
from kdtune.results.trial_log import TrialLog
from kdtune.specs.component import Component
from kdtune.specs.study import Study
from kdtune.training.resolution import resolved_trial


def check_unchanged(folder: StrategyFolder, study: Study) -> None:
    """Check that a strategy can be resumed, because its files were not changed after it was started.

    Args:
        folder: Folder of the strategy.
        study: The study in ``run.toml``.

    Raises:
        ResultsError: One of the files was changed, or a loss or a temperature that its trials used.
    """
    if changed := folder.differences(study):
        raise ResultsError(
            f"{folder.study_toml}: differs from {folder.study.run_toml} in {', '.join(changed)}, so one of them was "
            f"changed after it was written; restore the old value, or start again with 'kdtune study --fresh'"
        )
    frozen, log = folder.read_study(), TrialLog.read(folder.trials)
    if changed := list(_changed_components(folder, log)):
        raise ResultsError(f"{folder.path}: cannot be resumed here: {'; '.join(changed)}")
    for trial in log.trials.values():
        if trial.id != _identity(frozen, trial):
            raise ResultsError(
                f"{log.path}: trial {trial.id} does not belong to the study in {folder.study_toml}, so one of them was "
                f"changed, or another release of kdtune wrote them; {REMEDY}"
            )


def _changed_components(folder: StrategyFolder, log: TrialLog) -> Iterator[str]:
    """Yield what has changed of the losses and temperatures that a strategy's trials used."""
    used: dict[tuple[str, str], tuple[Catalog, Component]] = {}
    for recipe in (trial.spec.recipe for trial in log.trials.values() if trial.spec):
        for catalog, component in ((LOSSES, recipe.method), (TEMPERATURES, recipe.temperature)):
            if component and component.digest:
                used[component.name, component.digest] = catalog, component
    began_in = folder.resolved().get("folder", folder.path) if used else folder.path
    for catalog, component in used.values():
        try:
            now = catalog.resolve(moved_along(component.name, Path(began_in), folder.path)).digest
        except ValueError:
            continue  # it is missing, which is reported for the study as a whole
        if change := change_since(component.digest, now):
            yield f"{catalog.kind} {component.short_name} {change}"


def _identity(study: Study, trial: Trial) -> str:
    """Return the identifier that a logged trial must have."""
    if trial.spec is None:
        return flat_trial_id(study, trial.point, trial.seed)
    suggestion = trial.suggestion
    if (wanted := suggestion.quantisation) and (used := trial.spec.recipe.quantisation):
        # The machine that began the study decided on the bits of activations, unless the strategy did.
        settled = wanted.settled(reduce_range=bool(used.reduce_range))
        suggestion = suggestion.model_copy(update={"quantisation": settled})
    try:
        return resolved_trial(study, suggestion, trial.seed, trial.spec.start).identity
    except SpecError:  # its components are not installed here, which is reported for the study as a whole
        return trial.spec.identity


def strategy_digest(study: Study, label: str) -> str:
    """Return what identifies the source of the strategy that a label refers to; empty for one of kdtune's own."""
    digest = STRATEGIES.resolve(study.labelled(label)[0]).digest
    return "" if digest.startswith("kdtune==") else digest


def changed_strategy(folder: StrategyFolder, study: Study) -> str | None:
    """Return how the source of a strategy has changed since it began; None if it has not.

    It is no reason against resuming: a training depends only on what was suggested, and suggestions are logged.

    Args:
        folder: Folder of the strategy.
        study: The study with the present paths of its files.
    """
    began_with, label = folder.resolved().get("strategy_digest", ""), folder.path.name
    change = change_since(began_with, strategy_digest(study, label)) if began_with else None
    if change is None:
        return None
    name = Component(name=study.labelled(label)[0]).short_name
    return f"{folder.path}: strategy {name} {change.partition(';')[0]}; trials that it has suggested are kept"
