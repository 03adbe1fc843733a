"""The scheme ``tuned:TEMPERATURE``: a grid over the study's search space under a temperature.

It finds out what a method's hidden tuning is worth, and charges the method for it: every point is a training.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from pydantic import BaseModel, Field, create_model

from kdtune.catalog.builtin import TEMPERATURES
from kdtune.errors import UsageError
from kdtune.specs.component import Component
from kdtune.specs.search_space import SearchSpace
from kdtune.specs.suggestion import Suggestion
from kdtune.strategies.base import OneRound, require_finite
from kdtune.temperature.loading import policy_class


class Tuned(OneRound):
    """Every point of the search space, in order, under one temperature.

    Attributes:
        temperature: Its name. Its options are those of the strategy, but for tau, which is searched.
    """

    temperature: ClassVar[str]

    def __init__(self, space: SearchSpace, options: BaseModel, seed: int) -> None:
        super().__init__(space, options, seed)
        require_finite(space, f"tuned:{self.temperature}")

    def suggestions(self) -> list[Suggestion]:
        """Return all points; the last dimension varies fastest."""
        options = self.options.model_dump(mode="json", exclude_defaults=True)
        temperature = Component(name=self.temperature, options=options)
        return [Suggestion(values=point, temperature=temperature) for point in self.space.points()]


class _Scheme:
    """Makes a strategy of every temperature that has a tau."""

    def identify(self, name: str) -> str:
        """Return the digest of a temperature; kdtune's version for one of its own.

        Raises:
            ValueError: There is no such temperature.
        """
        from kdtune import __version__

        return TEMPERATURES.resolve(name).digest or f"kdtune=={__version__}"

    def load(self, name: str) -> type[Tuned]:
        """Return the strategy.

        Raises:
            UsageError: The temperature has no tau that could be searched.
        """
        options = policy_class(name).Options
        if "tau" not in options.model_fields:
            raise UsageError(f"the temperature {name!r} has no option 'tau', so there is nothing to tune")
        return type("TunedTemperature", (Tuned,), {"temperature": name, "Options": _without_tau(options)})


def _without_tau(options: type[BaseModel]) -> type[BaseModel]:
    """Return a model of the same options in which tau has to be left to the search."""
    changes: Mapping[str, Any] = {"tau": (None, Field(default=None, exclude=True))}
    return create_model("Options", __base__=options, **changes)


TUNED = _Scheme()
