"""Validation of the arguments of a run, before any energy is spent."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from kdtune.catalog.builtin import STRATEGIES
from kdtune.catalog.references import with_absolute_path
from kdtune.catalog.spelling import did_you_mean
from kdtune.data.sources import with_described_data
from kdtune.errors import Fault, SpecError, UsageError
from kdtune.planning.budget import Budget
from kdtune.planning.first_rounds import first_rounds, foreign_labels
from kdtune.planning.predecessors import in_order, missing_packages, predecessor
from kdtune.planning.resources import SMALLEST_SHARE, cluster_address
from kdtune.planning.trial_plan import make_strategies
from kdtune.planning.usable_cores import usable_cores
from kdtune.specs import load_study
from kdtune.specs.component import Component
from kdtune.specs.loading import StudyLike, not_installed, strategy_labels
from kdtune.specs.strategy_labels import LABEL, check_strategies
from kdtune.specs.study import Study
from kdtune.strategies.base import Strategy
from kdtune.training.resolution import representative_recipe

#: Name that stands for all strategies that a study lists.
ALL = "all"


def validate_run_arguments(
    study: StudyLike,
    strategy: str | Sequence[str],
    budget: Budget,
    teacher: Path | None = None,
    **changes: Any,
) -> tuple[Study, dict[str, list[Strategy]]]:
    """Return the study with the changes of the arguments, and for each label the strategy of every repeat.

    Args:
        study: As for :func:`kdtune.run_study`.
        strategy: As for :func:`kdtune.run_study`.
        budget: Limits of the study.
        teacher: File with the weights of a given teacher.
        changes: Keyword arguments of :func:`kdtune.load_study`.

    Raises:
        SpecError: Every fault found.
        DataError: A data set that is not built in is missing, incomplete or damaged.
        UsageError: The weights do not fit the study's teacher.
    """
    asked = [strategy] if isinstance(strategy, str) else list(strategy)
    others = budget.faults()
    if teacher and not teacher.exists():
        others.append(Fault(f"--teacher {teacher}", "", "there is no such file"))
    try:
        spec = load_study(study, **changes)
    except SpecError as error:  # reported together with the faults of other flags
        labels = strategy_labels(study)
        unknown = [] if labels is None else _unknown_strategies(asked, labels)
        raise SpecError([*error.faults, *unknown, *others]) from None
    asked, spec = _with_labels(asked, spec)
    if others := [*_unknown_strategies(asked, list(spec.strategies)), *others]:
        raise SpecError(others)
    if faults := not_installed(spec, f"study {spec.name}"):  # a frozen study may name components of another machine
        raise SpecError(faults)
    spec = with_described_data(spec)
    if teacher:
        from kdtune.artifacts.given_teacher import with_given_teacher

        spec = with_given_teacher(spec, teacher)
    # Without duplicates, and with "all" replaced.
    names = list(dict.fromkeys(name for one in asked for name in (spec.strategies if one == ALL else [one])))
    if faults := missing_packages(spec, names):
        raise SpecError(faults)
    spec = _with_dependent(spec, names)
    try:
        representative_recipe(spec, with_teacher=True)  # refuses unknown options of the loss
    except SpecError as error:
        raise SpecError(
            [replace(fault, where=f"study {spec.name}", key=f"loss.{fault.key}") for fault in error.faults]
        ) from None
    # Any strategy may need the labels that synthetic images do not have.
    to_ask = names if spec.synthesis else foreign_labels(spec, names)
    if faults := first_rounds(spec, to_ask, f"study {spec.name}")[1]:
        raise SpecError(faults)
    return spec, {name: make_strategies(spec, name) for name in in_order(spec, names)}


def _with_labels(asked: Sequence[str], study: Study) -> tuple[list[str], Study]:
    """Return what was asked for with labels in place of references, and the study with these labels.

    A reference such as ``tuned:ea`` or ``./file.py:NAME`` is no label, since it cannot name a folder. Its label is
    ``tuned-ea`` or ``file-NAME``, unless the study lists that label for something else.

    Raises:
        SpecError: There is no such strategy.
    """
    labels, listed, faults = [], dict(study.strategies), []
    for name in asked:
        reference = with_absolute_path(name, Path.cwd())
        label, options = Component(name=reference).slug, {"strategy": reference}
        is_reference = ":" in name and LABEL.fullmatch(label) and not STRATEGIES.problem(reference)
        if not is_reference or listed.get(label, options) != options:
            if name not in listed and name in STRATEGIES:  # with the defaults of its options, if all have one
                faults += check_strategies({name: {}}, f"--strategy {name}")
            labels.append(name)
            continue
        faults += check_strategies({label: options}, f"--strategy {name}")
        listed[label] = options
        labels.append(label)
    if faults:
        raise SpecError(faults)
    return labels, study.model_copy(update={"strategies": listed})


def _with_dependent(study: Study, labels: Sequence[str]) -> Study:
    """Return the study with those labels listed that begin with others' students, so that they are inspected."""
    dependent = {one: study.strategies.get(one, {}) for one in labels if predecessor(study, one)}
    return study.model_copy(update={"strategies": {**study.strategies, **dependent}})


def _unknown_strategies(asked: Sequence[str], labels: list[str]) -> list[Fault]:
    """Return a fault for each name that is neither a label of the study nor a strategy."""
    known = list(dict.fromkeys([*labels, *STRATEGIES]))
    return [
        Fault("--strategy", "", _file_problem(name) or f"unknown strategy {name!r}; {did_you_mean(name, known)}")
        for name in asked
        if name not in (ALL, *known)
    ]


def _file_problem(name: str) -> str | None:
    """Return what is wrong with a reference to a Python file; None for a name, and for a reference without a fault."""
    reference = with_absolute_path(name, Path.cwd())
    return STRATEGIES.problem(reference) if reference.startswith("/") else None


def check_resources(
    cpus: float,
    gpus: float | None,
    address: str | None,
    max_concurrent: int | None = None,
    *,
    inline: bool = False,
) -> None:
    """Refuse resources of a trial that are invalid or that this machine does not have.

    Args:
        cpus: Cores for each trial.
        gpus: GPUs for each trial; None for the default.
        address: Address of a Ray cluster. The cores of a cluster are checked after connecting to it.
        max_concurrent: Largest number of trials at the same time; None for no limit.
        inline: Whether the study runs in this process, even if there is a cluster.

    Raises:
        UsageError: An argument is invalid; the message lists all faults.
    """
    given = {"--cpus-per-trial": cpus, "--gpus-per-trial": gpus, "--max-concurrent": max_concurrent}
    faults = [
        f"{flag}: has to be a number, got {value!r}"
        for flag, value in given.items()
        if value is not None and not isinstance(value, int | float)
    ]
    if faults:
        raise UsageError("\n".join(faults))
    if max_concurrent is not None and max_concurrent < 1:
        faults.append(f"--max-concurrent: has to be at least 1, got {max_concurrent:g}")
    if not cpus >= SMALLEST_SHARE or (cpus > 1 and cpus % 1):
        faults.append(
            f"--cpus-per-trial: has to be a whole number, or a fraction from {SMALLEST_SHARE:g} to 1, got {cpus:g}"
        )
    if gpus is not None and not (gpus == 0 or SMALLEST_SHARE <= gpus <= 1):
        faults.append(
            f"--gpus-per-trial {gpus:g}: a training uses one GPU or a share of one; give 0, or a number from "
            f"{SMALLEST_SHARE:g} to 1"
        )
    cores = usable_cores()
    if cpus > cores and (inline or cluster_address(address) is None):  # refused before Ray is started
        faults.append(f"--cpus-per-trial {cpus:g}: kdtune may use {cores} here; give at most that")
    if faults:
        raise UsageError("\n".join(faults))
