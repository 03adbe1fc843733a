"""Strategies of one training under a method, each by the method's own name.

A method is a loss of its own (see :mod:`kdtune.methods.base`) or a temperature. Where both have the same name, as
``dtkd``, it is the loss, which is the whole method.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from pydantic import BaseModel, create_model

from kdtune.catalog.builtin import LOSSES, TEMPERATURES, is_method
from kdtune.specs.component import Component
from kdtune.specs.suggestion import Suggestion
from kdtune.specs.temperature_range import TauAsWritten
from kdtune.strategies.base import OneTraining
from kdtune.temperature.loading import policy_class

#: Tau of a temperature that has none by default, a customary value.
CUSTOMARY_TAU = 4


@dataclass(frozen=True)
class Method:
    """A method that a strategy can use.

    Attributes:
        name: Its name or reference.
        Options: Model of its options; those of a loss do not include tau.
        tau: Its tau unless another one is given; None if it has no tau.
    """

    name: str
    Options: type[BaseModel]
    tau: float | None

    @classmethod
    def named(cls, name: str) -> Method:
        """Return a method.

        Raises:
            UsageError: There is no such loss or temperature.
        """
        if is_method(name):
            return cls(name, LOSSES.load(name).Options, LOSSES.facts_of(name).get("default_tau"))
        options = policy_class(name).Options
        field = options.model_fields.get("tau")
        if field is None:
            return cls(name, options, None)
        return cls(name, options, CUSTOMARY_TAU if field.is_required() else field.default)

    def suggestion(self, values: Mapping[str, float], options: Mapping[str, Any]) -> Suggestion:
        """Return the training at a point, with some options of the method."""
        component = Component(name=self.name, options=dict(options))
        if is_method(self.name):
            return Suggestion(values=dict(values), method=component)
        return Suggestion(values=dict(values), temperature=component)


class UnderMethod(OneTraining):
    """One training under a method with the tau of its authors, or another one, without a search."""

    method: ClassVar[Method]

    def suggestion(self) -> Suggestion:
        """Return the method with the given options."""
        options = self.options.model_dump(mode="json", exclude_defaults=True)
        options.pop("tau", None)
        values = {} if self.method.tau is None else {"tau": getattr(self.options, "tau")}  # noqa: B009 - made below
        return self.method.suggestion(values, options)


def __getattr__(name: str) -> type[UnderMethod]:
    """Return the strategy of a method, so that the catalog finds it as ``kdtune.strategies.by_method:NAME``."""
    if not (is_method(name) or name in TEMPERATURES):
        raise AttributeError(name)
    method = Method.named(name)
    options = method.Options
    if method.tau is not None:
        options = create_model("Options", __base__=method.Options, tau=(TauAsWritten, method.tau))
    return type("UnderMethod", (UnderMethod,), {"method": method, "Options": options})
