"""One training under a temperature that is named, with its options: no search."""

from collections.abc import Mapping
from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict, create_model, field_validator

from kdtune.catalog.builtin import TEMPERATURES
from kdtune.specs.component import Component
from kdtune.specs.suggestion import Suggestion
from kdtune.strategies.base import NoOptions, OneTraining


class Options(NoOptions):
    """Which temperature; the other options are its own.

    Attributes:
        temperature: Its name.
    """

    temperature: str

    @field_validator("temperature")
    @classmethod
    def _known(cls, name: str) -> str:
        if problem := TEMPERATURES.problem(name):
            raise ValueError(problem)
        return name


class _OfUnknown(Options):
    """Options beside a temperature that is unknown: which of them it has is unknown too."""

    model_config = ConfigDict(extra="allow")


class Single(OneTraining):
    """One trial, as ``stochastic`` and ``fixed`` are, under any temperature that there is."""

    Options: ClassVar[type[BaseModel]] = Options

    @classmethod
    def options_model(cls, given: Mapping[str, Any]) -> type[BaseModel]:
        """The options of the temperature that is named, and its name."""
        name = given.get("temperature")
        if not isinstance(name, str):
            return Options
        if TEMPERATURES.problem(name):
            return _OfUnknown
        return create_model("Options", __base__=(Options, TEMPERATURES.load(name).Options))

    def suggestion(self) -> Suggestion:
        """The temperature, and the options that were given."""
        given = self.options.model_dump(mode="json", exclude_defaults=True)
        return Suggestion(temperature=Component(name=given.pop("temperature"), options=given))
