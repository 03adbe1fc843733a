"""What a recommendation lacks, with the commands that add it."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from kdtune.analysis.comparison import Comparison
from kdtune.analysis.difference_verdicts import BaselineComparison
from kdtune.analysis.paired_tests import ALPHA, MOST_REPEATS, fewest_for_exact_test, repeats_needed
from kdtune.analysis.restart_controls import control_options, restarts_training
from kdtune.analysis.strategy_figures import StrategyFigures
from kdtune.analysis.study_commands import beside, command_for
from kdtune.catalog.builtin import STRATEGIES
from kdtune.specs.study import Study

#: What a recommendation compares: one training, a search, restarts of the training, and the student alone.
Role = Literal["single", "search", "control", "alone"]


@dataclass(frozen=True)
class MissingEvidence:
    """What an answer lacks.

    Attributes:
        what: Description.
        command: The command that adds it; None if there is none.
    """

    what: str
    command: str | None


def has_fact(study: Study, label: str, fact: str, value: object) -> bool:
    """Return whether the strategy that a label refers to has a fact."""
    return bool(STRATEGIES.facts_of(study.labelled(label)[0]).get(fact) == value)


def goes_on_from_another(study: Study, label: str) -> bool:
    """Return whether a strategy changes the student that another one chose, such as by quantising it."""
    return "begins_after" in STRATEGIES.facts_of(study.labelled(label)[0])


def missing_evidence(
    study: Study,
    found: Comparison,
    roles: Mapping[Role, StrategyFigures | None],
    comparisons: Sequence[BaselineComparison | None],
) -> list[MissingEvidence]:
    """Return what a recommendation lacks.

    Args:
        study: The study.
        found: Its results.
        roles: The strategies that were compared; None where there is none.
        comparisons: The comparisons on which the advice rests.
    """
    folder = found.folders[0].study
    left = folder.left_to_begin()
    missing = [*_strategies(study, found, roles, left), *_control(study, found, roles)]
    for outcome in found.outcomes:
        if outcome.status != "completed":
            what = f"the rest of {outcome.strategy}, which is {outcome.status}"
            missing.append(MissingEvidence(what, folder.resume_command))
    if left:
        missing.append(MissingEvidence(f"{', '.join(left)}: not begun", folder.resume_command))
    missing += _repeats(study, found, [one.result.strategy for one in roles.values() if one], comparisons)
    if any(outcome.cost.charged_kwh is None for outcome in found.outcomes):
        missing.append(MissingEvidence("the energy of a strategy, which was not measured", None))
    return missing


def _strategies(
    study: Study, found: Comparison, roles: Mapping[Role, StrategyFigures | None], left: Sequence[str]
) -> Iterator[MissingEvidence]:
    """Yield the strategies that no command was to run, apart from the control; ``left`` have not begun."""
    listed = [label for label in study.strategies if not goes_on_from_another(study, label)]
    single = [label for label in listed if has_fact(study, label, "restartable", True)]
    search = [label for label in listed if study.labelled(label)[0] == "grid"]
    alone = [label for label in listed if has_fact(study, label, "needs_teacher", False)]
    suggested: dict[Role, tuple[str, list[str]]] = {
        "single": ("a strategy of one training", [*single, "fixed"]),
        "search": ("a search", [*search, "grid"]),
        "alone": ("the student without a teacher", [*alone, "none"]),
    }
    started = {outcome.strategy for outcome in found.outcomes} | {*left}
    for role, (what, labels) in suggested.items():
        if roles[role] is None and started.isdisjoint(labels):
            yield MissingEvidence(what, command_for(found.folders[0], labels[:1]))


def _control(
    study: Study, found: Comparison, roles: Mapping[Role, StrategyFigures | None]
) -> Iterator[MissingEvidence]:
    """Yield the control that restarts the compared training, unless it was run."""
    single, control = roles["single"], roles["control"]
    if single is None:
        return
    training = single.result.strategy
    if control and restarts_training(study, control.result.strategy, training):
        return
    what = f"restarts of {training}, which show how much of a search's gain is luck"
    if control:
        what += f"; {control.result.strategy} restarts another training"
    labels, options = control_options(study, training)
    if labels:
        yield MissingEvidence(what, command_for(found.folders[0], labels, *options))
    elif control is None:
        yield MissingEvidence(what, None)


def _repeats(
    study: Study, found: Comparison, labels: Sequence[str], comparisons: Sequence[BaselineComparison | None]
) -> Iterator[MissingEvidence]:
    """Yield the number of repeats that would settle what is open, for the strategies that are compared."""
    fewest, ours = fewest_for_exact_test(), study.repeats
    unsettled = [one for one in comparisons if one and one.verdict == "open" and one.difference_std]
    settling = max((one.repeats_to_settle or 0 for one in unsettled), default=0)
    needed = repeats_needed(ours, settling)
    endless = [one.strategy for one in unsettled if one.repeats_to_settle is None and ours >= fewest]
    if endless:
        yield MissingEvidence(
            f"a larger difference, or a larger margin: more than {MOST_REPEATS} repeats would be needed for "
            f"{', '.join(endless)}",
            None,
        )
    if not needed or not labels:
        return
    reason = (
        f"an exact test of {ours} cannot be significant at {ALPHA:.0%}" if ours < fewest else f"{ours} leave it open"
    )
    certain = (
        "would settle it if mean and deviation stayed the same" if settling >= needed else "are the fewest that can"
    )
    out = beside(found.folders[0].study, f"{needed}-repeats")
    yield MissingEvidence(
        f"repeats: {reason}; {needed} {certain}",
        command_for(found.folders[0], labels, "--repeats", str(needed), out=out),
    )
