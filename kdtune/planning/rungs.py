"""Rungs: trainings that stop after a part of their epochs and may go on in a later round."""

from collections.abc import Sequence

from kdtune.errors import UsageError
from kdtune.results.trial import Trial
from kdtune.specs.suggestion import Suggestion
from kdtune.storage.wording import counted
from kdtune.strategies.base import Strategy


def epochs_until(suggestion: Suggestion, trial: Trial) -> int:
    """Return the number of epochs to which a suggestion lets a trial train, at least 1."""
    return max(1, round(suggestion.until * trial.planned_epochs))


def until_problem(strategy: Strategy, suggestion: Suggestion) -> str | None:
    """Return why a strategy may not let a training stop early; None if it may, or if the training does not."""
    if suggestion.until == 1 or strategy.has_rungs:
        return None
    return (
        f"suggests {suggestion.as_point()} until {suggestion.until:g} of its epochs, which only strategies with "
        "has_rungs = True may do; set it, or leave 'until' out"
    )


def check_round(strategy: Strategy, suggestions: Sequence[tuple[Suggestion, Trial]]) -> None:
    """Refuse a round whose trainings cannot stop where its suggestions say.

    Args:
        strategy: The strategy.
        suggestions: Its suggestions, with their trials.

    Raises:
        UsageError: A training stops early although the strategy has no rungs, stops at two places in one round, or
            stops before an epoch that it has passed already.
    """
    targets: dict[str, int] = {}
    for suggestion, trial in suggestions:
        problem, target = until_problem(strategy, suggestion), epochs_until(suggestion, trial)
        point = suggestion.as_point()
        if targets.setdefault(trial.id, target) != target:
            problem = f"lets {point} stop after {targets[trial.id]} and after {counted(target, 'epoch')} in one round"
        elif target not in trial.reached and any(target < passed for passed in trial.reached):
            problem = f"lets {point} stop after {counted(target, 'epoch')}, but it has trained for {max(trial.reached)}"
        if problem:
            raise UsageError(f"{strategy}: {problem}")


def check_end(strategy: Strategy, trials: Sequence[Trial]) -> None:
    """Refuse the end of a strategy that stopped all of its trainings early, so that it has no model to choose.

    Args:
        strategy: The strategy.
        trials: All trials of the repeat.

    Raises:
        UsageError: No trial was completed, though none failed.
    """
    statuses = {trial.status for trial in trials}
    if strategy.has_rungs and statuses == {"pruned"}:
        raise UsageError(
            f"{strategy}: ended, but none of its trainings reached the last epoch, so there is no model to choose; its "
            "last round has to suggest the best of them with until = 1"
        )
