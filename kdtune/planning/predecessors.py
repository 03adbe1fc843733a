"""Strategies that begin with the students of other strategies, which have to run before."""

from collections.abc import Collection, Iterable, Sequence
from importlib.util import find_spec

from kdtune.catalog.builtin import STRATEGIES
from kdtune.errors import Fault, ResultsError, SpecError
from kdtune.results.chosen_student import chosen_student
from kdtune.results.folder import StrategyFolder, StudyFolder
from kdtune.results.trial_log import TrialLog
from kdtune.specs.study import Study


def predecessor(study: Study, label: str) -> str | None:
    """Return the label of the strategy with whose students a strategy begins; None if it begins untrained."""
    name, given = study.labelled(label)
    default = STRATEGIES.facts_of(name).get("begins_after")
    return None if default is None else str(given.get("after", default))


def in_order(study: Study, labels: Sequence[str]) -> list[str]:
    """Return labels in their order, except that a strategy comes before those that begin with its students."""
    ordered: list[str] = []
    for label in labels:
        before = predecessor(study, label)
        due = [label] if before is None or before not in labels else [before, label]
        ordered += [one for one in due if one not in ordered]
    return ordered


def missing_packages(study: Study, labels: Collection[str]) -> list[Fault]:
    """Return a fault for each strategy that needs a package which is not installed."""
    return [
        Fault("--strategy", label, f"needs {package}, which is not installed: pip install '{extra}'")
        for label in labels
        for package, extra in STRATEGIES.facts_of(study.labelled(label)[0]).get("requires", {}).items()
        if find_spec(package) is None
    ]


def check_predecessors(study: Study, labels: Collection[str], folder: StudyFolder, *, fresh: bool) -> None:
    """Refuse strategies whose students are not there and are not about to be trained.

    Args:
        study: The study.
        labels: Labels of the strategies that are to run.
        folder: Results folder of the study.
        fresh: Whether earlier results of these strategies are put aside.

    Raises:
        SpecError: A strategy that has to run before neither runs nor has results here, or cannot be used.
    """
    faults = []
    for label in labels:
        before = predecessor(study, label)
        if before is None:
            continue
        key = f"strategies.{label}.after"
        if before not in {*study.strategies, *STRATEGIES}:
            faults.append(Fault(f"study {study.name}", key, f"names no strategy of the study: {before!r}"))
        elif predecessor(study, before) is not None:
            faults.append(Fault(f"study {study.name}", key, f"names {before!r}, whose student is quantised already"))
        elif before not in labels and (fresh or not _is_settled(folder, study, label)):
            problems = _missing_students(folder, study, before, label)
            faults += [Fault(f"study {study.name}", key, one) for one in problems]
    if faults:
        raise SpecError(faults)


def settings_of_quantised(
    study: Study, labels: Iterable[str], kept: Iterable[StrategyFolder], reduce_range: bool
) -> dict[str, bool]:
    """Return the resolved settings that all quantised students of a study share; empty if none of them is quantised.

    Args:
        study: The study.
        labels: Labels of the strategies that are to run.
        kept: Folders of strategies that have run, whose settings are kept.
        reduce_range: Whether this machine's activations should have 7 bits.
    """
    if not any(predecessor(study, label) for label in labels):
        return {}
    earlier = (folder.reduces_range() for folder in kept)
    return {"reduce_range": next((one for one in earlier if one is not None), reduce_range)}


def _is_settled(folder: StudyFolder, study: Study, label: str) -> bool:
    return TrialLog.read(folder.strategy(label).trials).is_settled(study.repeats)


def _missing_students(folder: StudyFolder, study: Study, before: str, label: str) -> list[str]:
    """Return why a strategy that is not about to run lacks students which others begin with; at most one reason."""
    own = folder.strategy(before)
    if own.differences(study):
        return []  # the results of another study in the same folder are reported by themselves
    if not own.study_toml.exists():
        return [f"{before!r} has not run in {folder.path}; run it as well, with -s {before} -s {label}"]
    try:
        for repeat in range(study.repeats):
            chosen_student(folder, study, before, repeat)
    except ResultsError as error:
        return [str(error)]
    return []
