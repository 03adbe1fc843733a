"""Restores a study from its results folder, so that a command can resume it."""

import warnings
from collections.abc import Iterable
from pathlib import Path

from kdtune.catalog.builtin import STRATEGIES
from kdtune.errors import Fault, Remark, ResultsError, SpecError, UsageError
from kdtune.planning.resume_checks import changed_strategy, check_unchanged
from kdtune.planning.trial_plan import make_strategies
from kdtune.results.folder import RUN_REMEDY, StudyFolder
from kdtune.results.run_document import RunDocument
from kdtune.specs import load_study
from kdtune.specs.loading import not_installed
from kdtune.specs.study import Study
from kdtune.specs.study_components import moved_study
from kdtune.storage import paths
from kdtune.strategies.base import Strategy


def find_study_folder(path: str | Path) -> tuple[StudyFolder, str | None]:
    """Return the results folder of a study, and the label of a strategy if ``path`` is a strategy's folder.

    Raises:
        ResultsError: ``path`` is neither.
    """
    given, label = paths.expanded(path).resolve(), None
    if not (given / "run.toml").is_file() and (given / "study.toml").is_file():
        given, label = given.parent, given.name
    folder = StudyFolder(given)
    if not given.exists():
        raise ResultsError(f"{path}: there is no such folder; name a study's folder under results/")
    if not folder.run_toml.is_file():
        raise ResultsError(f"{path}: not a study's results folder (no run.toml); name the folder under results/")
    return folder, label


def study_as_begun(document: RunDocument, folder: StudyFolder) -> Study:
    """Return the study with its strategies as they were begun, and with the present paths of its files.

    Args:
        document: Content of ``run.toml``.
        folder: Results folder of the study.

    Raises:
        ResultsError: The document has no study, or one that differs from that of a strategy that was begun, or
            something that the study uses is not installed or has changed.
    """
    try:
        study = load_study(document.study, has_run=True)
    except SpecError as error:
        raise ResultsError(f"{folder.run_toml}: damaged (study: {_in_one_line(error.faults)}); {RUN_REMEDY}") from None
    study = moved_study(study, Path(document.options.folder or folder.path), folder.path)
    listed = dict(study.strategies)
    for strategy in folder.strategies():
        label, frozen = strategy.path.name, strategy.study_here()
        if label not in {*STRATEGIES, *frozen.strategies}:
            raise ResultsError(f"{strategy.path}: {study.name} has no strategy of this name; move the folder away")
        check_unchanged(strategy, study)
        if frozen.labelled(label) != study.labelled(label):
            listed[label] = frozen.strategies.get(label, {})
    begun = study.model_copy(update={"strategies": listed})
    if faults := not_installed(begun, str(folder.run_toml)):
        raise ResultsError(f"{folder.path}: cannot be resumed here: {_in_one_line(faults)}")
    for strategy in folder.strategies():
        if change := changed_strategy(strategy, begun):
            warnings.warn(Remark(change), stacklevel=2)
    return begun


def strategies_to_resume(
    study: Study, document: RunDocument, folder: StudyFolder, only: str | None
) -> dict[str, list[Strategy]]:
    """Return the strategies of a resumed study by label, one for each repeat.

    Args:
        study: The study as it was begun.
        document: Content of ``run.toml``.
        folder: Results folder of the study.
        only: Label of the only strategy to resume; None resumes all.
    """
    begun = [found.path.name for found in folder.strategies()]
    labels = [only] if only else list(dict.fromkeys([*document.strategies, *begun]))
    return {label: make_strategies(study, label) for label in labels}


def check_same_weights(study: Study, weights: Path) -> None:
    """Make sure that a file holds the weights of the teacher with which the study was begun.

    Raises:
        UsageError: It holds other weights, or the study trains its teacher.
    """
    from kdtune.artifacts.given_teacher import read_same

    if study.teacher_weights is None:
        raise UsageError(
            f"--teacher {weights}: the study trains its teacher; to use these weights, begin another one with --out DIR"
        )
    read_same(study, weights)


def _in_one_line(faults: Iterable[Fault]) -> str:
    return "; ".join(f"{fault.key}: {fault.problem}" for fault in faults)
