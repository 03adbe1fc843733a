"""Search or luck? The best of many restarts of one training, as many as a search has trials."""

from typing import ClassVar, Literal

from pydantic import BaseModel, Field, model_validator

from kdtune.specs.search_space import Point, SearchSpace
from kdtune.strategies import fixed, stochastic
from kdtune.strategies.base import MAX_TRIALS, OneRound, require_finite

#: What can be started again.
_KINDS: dict[str, type[OneRound]] = {"stochastic": stochastic.Stochastic, "fixed": fixed.Fixed}


class Options(stochastic.Options, fixed.Options):
    """What is started again and how often, and the options of that.

    Attributes:
        of: The strategy of one training.
        trials: Restarts, the plain training among them; None for as many as a grid has points.
    """

    of: Literal["stochastic", "fixed"] = "stochastic"
    trials: int | None = Field(default=None, ge=1, le=MAX_TRIALS)

    @model_validator(mode="after")
    def _belong(self) -> "Options":
        known = _KINDS[self.of].Options.model_fields
        if strange := sorted(self.model_fields_set - {"of", "trials", *known}):
            raise ValueError(f"{strange[0]!r} is no option of {self.of!r}, which has: {', '.join(known)}")
        return self


class BestOf(OneRound):
    """The same training with other initial weights, another order of the images and other draws of tau."""

    Options: ClassVar[type[BaseModel]] = Options

    def __init__(self, space: SearchSpace, options: BaseModel, seed: int) -> None:
        super().__init__(space, options, seed)
        assert isinstance(options, Options)
        if options.trials is None:
            require_finite(space, "best-of without 'trials'")

    def points(self) -> list[Point]:
        """The plain point, then its restarts."""
        assert isinstance(self.options, Options)
        kind = _KINDS[self.options.of]
        options = kind.Options(**self.options.model_dump(include=set(kind.Options.model_fields)))
        (point,) = kind(self.space, options, self.seed).points()
        return [point, *({**point, "restart": restart} for restart in range(1, self._trials))]

    @property
    def _trials(self) -> int:
        assert isinstance(self.options, Options)
        return len(self.space.points()) if self.options.trials is None else self.options.trials
