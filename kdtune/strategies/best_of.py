"""Strategy ``best-of``: the best of several restarts of one training, as a control for searches.

It shows how much of the gain of a search is due to choosing the best of many trainings.
"""

from collections.abc import Mapping
from typing import Any, ClassVar

from pydantic import BaseModel, Field, create_model, field_validator

from kdtune.catalog.builtin import STRATEGIES
from kdtune.specs.search_space import SearchSpace
from kdtune.specs.suggestion import Suggestion
from kdtune.strategies.base import MAX_TRIALS, NoOptions, OneRound, require_finite


class Options(NoOptions):
    """Which strategy is restarted, and how often. The options of that strategy are accepted as well.

    Attributes:
        of: Name of a strategy of one training.
        trials: Number of trainings, the first one included; None for the number of points of the grid.
    """

    of: str = "stochastic"
    trials: int | None = Field(default=None, ge=1, le=MAX_TRIALS)

    @field_validator("of")
    @classmethod
    def _can_restart(cls, name: str) -> str:
        if not _restartable(name):
            raise ValueError(f"has to be a strategy of one training: {', '.join(filter(_restartable, STRATEGIES))}")
        return name


def _restartable(name: Any) -> bool:
    """Return whether a value is the name of a strategy that can be restarted."""
    return isinstance(name, str) and bool(STRATEGIES.facts_of(name).get("restartable"))


class BestOf(OneRound):
    """Repeats a training with different initial weights, orders of the images and draws of tau."""

    Options: ClassVar[type[BaseModel]] = Options

    @classmethod
    def options_model(cls, given: Mapping[str, Any]) -> type[BaseModel]:
        """Return a model with the options of ``best-of`` and those of the strategy that is restarted."""
        of = given.get("of", Options.model_fields["of"].default)
        if not _restartable(of):
            return Options
        return create_model("Options", __base__=(Options, STRATEGIES.load(of).options_model(given)))

    @classmethod
    def restarted(cls, given: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
        """Return the strategy that is restarted, with its own options."""
        own = {key: value for key, value in given.items() if key not in Options.model_fields}
        return str(given.get("of", Options.model_fields["of"].default)), own

    def __init__(self, space: SearchSpace, options: BaseModel, seed: int) -> None:
        super().__init__(space, options, seed)
        assert isinstance(options, Options)
        if options.trials is None:
            require_finite(space, "best-of without 'trials'")

    def suggestions(self) -> list[Suggestion]:
        """Return the original training, followed by its restarts."""
        assert isinstance(self.options, Options)
        given = self.options.model_dump(exclude={"of", "trials"}, exclude_unset=True)
        plain = STRATEGIES.load(self.options.of).from_table(self.space, given, self.seed).suggestion()
        return [plain.model_copy(update={"restart": restart}) for restart in range(self._trials)]

    @property
    def _trials(self) -> int:
        assert isinstance(self.options, Options)
        return len(self.space.points()) if self.options.trials is None else self.options.trials
