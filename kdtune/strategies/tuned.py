"""The scheme ``tuned:METHOD``: a grid over the study's search space under a method, a loss or a temperature.

It finds out what a method's hidden tuning is worth, and charges the method for it: every point is a training.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from pydantic import BaseModel, Field, create_model

from kdtune.catalog.builtin import LOSSES, TEMPERATURES, is_method
from kdtune.errors import UsageError
from kdtune.specs.search_space import SearchSpace
from kdtune.specs.suggestion import Suggestion
from kdtune.strategies.base import OneRound, require_finite
from kdtune.strategies.by_method import Method


class Tuned(OneRound):
    """Every point of the search space, in order, under one method.

    Attributes:
        method: Its options are those of the strategy, but for tau, which is searched.
    """

    method: ClassVar[Method]

    def __init__(self, space: SearchSpace, options: BaseModel, seed: int) -> None:
        super().__init__(space, options, seed)
        require_finite(space, f"tuned:{self.method.name}")

    def suggestions(self) -> list[Suggestion]:
        """Return all points; the last dimension varies fastest."""
        options = self.options.model_dump(mode="json", exclude_defaults=True)
        return [self.method.suggestion(point, options) for point in self.space.points()]


class _Scheme:
    """Makes a strategy of every method that has a tau."""

    def identify(self, name: str) -> str:
        """Return the digest of a method; kdtune's version for one of its own.

        Raises:
            ValueError: There is no such method.
        """
        from kdtune import __version__

        digest = "" if is_method(name) else TEMPERATURES.resolve(name).digest
        return digest or f"kdtune=={__version__}"

    def is_built_in(self, name: str) -> bool:
        """Return whether a method is one of kdtune's own."""
        return is_method(name) or name in TEMPERATURES

    def facts(self, name: str) -> Mapping[str, Any]:
        """Return that a loss needs a teacher; under a temperature, that depends on the study's loss."""
        return {"needs_teacher": LOSSES.facts_of(name)["needs_teacher"]} if is_method(name) else {}

    def load(self, name: str) -> type[Tuned]:
        """Return the strategy.

        Raises:
            UsageError: The method has no tau that could be searched.
        """
        method = Method.named(name)
        if method.tau is None:
            raise UsageError(f"the temperature {name!r} has no option 'tau', so there is nothing to tune")
        return type("TunedMethod", (Tuned,), {"method": method, "Options": _without_tau(method.Options)})


def _without_tau(options: type[BaseModel]) -> type[BaseModel]:
    """Return a model of the same options in which tau has to be left to the search."""
    if "tau" not in options.model_fields:
        return options
    changes: Mapping[str, Any] = {"tau": (None, Field(default=None, exclude=True))}
    return create_model("Options", __base__=options, **changes)


TUNED = _Scheme()
