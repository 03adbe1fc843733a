"""Strategies that are not built in: whatever they raise or return wrongly becomes one message that names them."""

from collections.abc import Mapping, Sequence
from numbers import Integral
from pathlib import Path
from typing import Any

from kdtune.catalog.builtin import STRATEGIES
from kdtune.catalog.foreign_calls import foreign_call
from kdtune.errors import UsageError
from kdtune.specs.search_space import SearchSpace
from kdtune.specs.suggestion import Suggestion
from kdtune.strategies.base import MAX_TRIALS, Outcome, Strategy

_EXAMPLE = "return a list such as [Suggestion(values={'tau': 4})]"


class GuardedStrategy(Strategy):
    """One repeat of a strategy of another author. Every method raises a :class:`UsageError` if the strategy's own does.

    What the strategy returns is checked as well.
    """

    def __init__(self, name: str, space: SearchSpace, given: Mapping[str, Any], seed: int) -> None:
        """Make the strategy.

        Args:
            name: Reference or entry point of the strategy.
            space: The search space.
            given: Options of the strategy, as in the study.
            seed: Seed of the repeat.
        """
        self._component = f"strategy {name}"
        kind = STRATEGIES.load(name)
        with foreign_call(self._component, "__init__()"):
            self._own: Strategy = kind.from_table(space, given, seed)
            super().__init__(space, self._own.options, seed)
        self.judges_epochs = bool(self._own.judges_epochs)
        self.has_rungs = bool(self._own.has_rungs)
        self.chooses = bool(self._own.chooses)

    def __str__(self) -> str:
        return self._component

    def expected_trials(self) -> int:
        """Return the strategy's own number."""
        with foreign_call(self._component, "expected_trials()"):
            count = self._own.expected_trials()
        if not isinstance(count, Integral) or not 1 <= count <= MAX_TRIALS:
            raise self._error(
                f"expected_trials() returned {count!r}; return the largest number of trainings of a repeat, an integer "
                f"from 1 to {MAX_TRIALS:,}"
            )
        return int(count)

    def expected_epochs(self, epochs: int) -> int:
        """Return the strategy's own number, at most that of all its trainings."""
        with foreign_call(self._component, "expected_epochs()"):
            count = self._own.expected_epochs(epochs)
        most = self.expected_trials() * epochs
        if not isinstance(count, Integral) or not 1 <= count <= most:
            raise self._error(
                f"expected_epochs({epochs}) returned {count!r}; return the largest number of epochs of all trainings "
                f"of a repeat, an integer from 1 to {most:,}"
            )
        return int(count)

    def ask(self) -> list[Suggestion]:
        """Return the strategy's next round."""
        with foreign_call(self._component, "ask()"):
            found = self._own.ask()
        return self._checked(found, "ask()")

    def planned(self) -> list[Suggestion] | None:
        """Return the strategy's suggestions if they do not depend on outcomes."""
        with foreign_call(self._component, "suggestions()"):
            found = self._own.planned()
        return (
            None
            if found is None and type(self._own).planned is Strategy.planned
            else self._checked(found, "suggestions()")
        )

    def tell(self, outcomes: Sequence[Outcome]) -> None:
        """Pass outcomes on."""
        with foreign_call(self._component, "tell()"):
            self._own.tell(outcomes)

    def choice(self) -> Suggestion | None:
        """Return the strategy's choice."""
        with foreign_call(self._component, "choice()"):
            found = self._own.choice()
        return None if found is None else self._checked([found], "choice()")[0]

    def export(self, folder: Path) -> None:
        """Write the strategy's files; a full disk is not the fault of the strategy."""
        with foreign_call(self._component, "export()", OSError):
            self._own.export(folder)

    def report(self, suggestion: Suggestion, epoch: int, score: float) -> bool:
        """Return whether the strategy continues a trial."""
        with foreign_call(self._component, "report()"):
            return bool(self._own.report(suggestion, epoch, score))

    def _checked(self, found: Any, method: str) -> list[Suggestion]:
        """Return a round of suggestions; raise a UsageError if it is none."""
        if not isinstance(found, list | tuple):
            raise self._error(f"{method} returned {_kind(found)}; {_EXAMPLE}, or an empty list at the end")
        for place, one in enumerate(found):
            if not isinstance(one, Suggestion):
                raise self._error(f"{method} returned a list whose item {place} is {_kind(one)}; {_EXAMPLE}")
        return list(found)

    def _error(self, problem: str) -> UsageError:
        return UsageError(f"{self._component}: {problem}")


def _kind(value: Any) -> str:
    return "None" if value is None else f"a value of type {type(value).__name__}"
