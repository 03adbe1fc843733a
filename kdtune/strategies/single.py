"""Strategy ``single``: one training with a temperature policy that is given by name, without a search."""

from collections.abc import Mapping
from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict, create_model, field_validator

from kdtune.catalog.builtin import TEMPERATURES
from kdtune.specs.component import Component
from kdtune.specs.suggestion import Suggestion
from kdtune.strategies.base import NoOptions, OneTraining
from kdtune.temperature.loading import policy_class


class Options(NoOptions):
    """The temperature policy. Its own options are accepted as well.

    Attributes:
        temperature: Name of the policy.
    """

    temperature: str

    @field_validator("temperature")
    @classmethod
    def _known(cls, name: str) -> str:
        if problem := TEMPERATURES.problem(name):
            raise ValueError(problem)
        return name


class _AnyOptions(Options):
    """Options with an unknown temperature policy, which cannot be validated."""

    model_config = ConfigDict(extra="allow")


class Single(OneTraining):
    """One trial with any temperature policy."""

    Options: ClassVar[type[BaseModel]] = Options

    @classmethod
    def options_model(cls, given: Mapping[str, Any]) -> type[BaseModel]:
        """Return a model with the name and the options of the temperature policy."""
        name = given.get("temperature")
        if not isinstance(name, str):
            return Options
        if TEMPERATURES.problem(name):
            return _AnyOptions
        return create_model("Options", __base__=(Options, policy_class(name).Options))

    def suggestion(self) -> Suggestion:
        """Return the temperature policy with the given options."""
        given = self.options.model_dump(mode="json", exclude_defaults=True)
        return Suggestion(temperature=Component(name=given.pop("temperature"), options=given))
