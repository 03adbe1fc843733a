"""What a user asked for, checked as a whole before anything is spent on it."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from kdtune.catalog.builtin import STRATEGIES
from kdtune.catalog.spelling import did_you_mean
from kdtune.errors import Fault, SpecError, UsageError
from kdtune.planning.budget import Budget
from kdtune.planning.resources import SMALLEST_SHARE, cluster_address
from kdtune.planning.trial_plan import make_strategies
from kdtune.planning.usable_cores import usable_cores
from kdtune.specs import load_study
from kdtune.specs.loading import StudyLike, not_installed, strategy_labels
from kdtune.specs.study import Study
from kdtune.strategies.base import Strategy

#: Stands for the strategies that a study lists.
ALL = "all"


def what_was_asked(
    study: StudyLike, strategy: str | Sequence[str], budget: Budget, teacher: Path | None = None, **changes: Any
) -> tuple[Study, dict[str, list[Strategy]]]:
    """The study with what the arguments change, and the strategies, each once a repeat.

    Args:
        study: As for :func:`kdtune.run_study`.
        strategy: See there.
        budget: What may be used.
        teacher: Weights that the user brings.
        changes: Keyword arguments of :func:`kdtune.load_study`.

    Raises:
        SpecError: Every fault found.
        UsageError: The weights are none of the study's teacher.
    """
    asked = [strategy] if isinstance(strategy, str) else list(strategy)
    others = budget.faults()
    if teacher and not teacher.exists():
        others.append(Fault(f"--teacher {teacher}", "", "there is no such file"))
    try:
        spec = load_study(study, **changes)
    except SpecError as error:  # all faults at once, whichever flag brought them
        labels = strategy_labels(study)
        unknown = [] if labels is None else _unknown_strategies(asked, labels)
        raise SpecError([*error.faults, *unknown, *others]) from None
    if others := [*_unknown_strategies(asked, list(spec.strategies)), *others]:
        raise SpecError(others)
    if faults := not_installed(spec, f"study {spec.name}"):  # of a study that is taken as it ran elsewhere
        raise SpecError(faults)
    if teacher:
        from kdtune.artifacts.given_teacher import identified

        spec = identified(spec, teacher)
    # Each once; "all" stands for those that the study lists.
    names = list(dict.fromkeys(name for one in asked for name in (spec.strategies if one == ALL else [one])))
    return spec, {name: make_strategies(spec, name) for name in names}


def _unknown_strategies(asked: Sequence[str], labels: list[str]) -> list[Fault]:
    """What is neither a label of the study nor the name of a strategy."""
    known = list(dict.fromkeys([*labels, *STRATEGIES]))
    return [
        Fault("--strategy", "", f"unknown strategy {name!r}; {did_you_mean(name, known)}")
        for name in asked
        if name not in (ALL, *known)
    ]


def check_resources(
    cpus: float,
    gpus: float | None,
    address: str | None,
    max_concurrent: int | None = None,
    *,
    inline: bool = False,
) -> None:
    """Refuse what no machine, or not this one, can give each trial.

    Args:
        cpus: Cores for each trial.
        gpus: GPUs for each trial; None leaves it open.
        address: As given for a Ray cluster. Where a cluster is joined, its cores are checked once it is reached.
        max_concurrent: Trials at a time at most; None leaves it open.
        inline: Whether the study runs in this process, whatever cluster there is.

    Raises:
        UsageError: Every fault found.
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
