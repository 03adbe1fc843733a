"""Search or luck? The best of many restarts of one training, as many as a search has trials."""

from collections.abc import Mapping
from typing import Any, ClassVar

from pydantic import BaseModel, Field, create_model, field_validator

from kdtune.catalog.builtin import STRATEGIES
from kdtune.specs.search_space import SearchSpace
from kdtune.specs.suggestion import Suggestion
from kdtune.strategies.base import MAX_TRIALS, NoOptions, OneRound, require_finite


class Options(NoOptions):
    """What is started again and how often; the other options are those of what is started again.

    Attributes:
        of: The strategy of one training.
        trials: Restarts, the plain training among them; None for as many as a grid has points.
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
    return isinstance(name, str) and bool(STRATEGIES.facts_of(name).get("restartable"))


class BestOf(OneRound):
    """The same training with other initial weights, another order of the images and other draws of tau."""

    Options: ClassVar[type[BaseModel]] = Options

    @classmethod
    def options_model(cls, given: Mapping[str, Any]) -> type[BaseModel]:
        """The options of what is started again, and those of starting it again."""
        of = given.get("of", Options.model_fields["of"].default)
        if not _restartable(of):
            return Options
        return create_model("Options", __base__=(Options, STRATEGIES.load(of).options_model(given)))

    def __init__(self, space: SearchSpace, options: BaseModel, seed: int) -> None:
        super().__init__(space, options, seed)
        assert isinstance(options, Options)
        if options.trials is None:
            require_finite(space, "best-of without 'trials'")

    def suggestions(self) -> list[Suggestion]:
        """The plain training, then its restarts."""
        assert isinstance(self.options, Options)
        given = self.options.model_dump(exclude={"of", "trials"}, exclude_unset=True)
        plain = STRATEGIES.load(self.options.of).from_table(self.space, given, self.seed).suggestion()
        return [plain.model_copy(update={"restart": restart}) for restart in range(self._trials)]

    @property
    def _trials(self) -> int:
        assert isinstance(self.options, Options)
        return len(self.space.points()) if self.options.trials is None else self.options.trials
