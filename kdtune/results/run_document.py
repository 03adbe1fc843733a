"""The dataclasses of ``run.toml``, as far as a resume relies on it."""

from dataclasses import dataclass, field
from typing import Annotated, Any

from pydantic import Field

from kdtune.energy.carbon import Carbon
from kdtune.storage.records import exact, strict

_Limit = Annotated[float, Field(gt=0)]


@strict
@dataclass(frozen=True, kw_only=True)
class RunPlaces:
    """Where the last command had its files.

    Attributes:
        data_dir: The folder with the data sets.
        teacher: The file with the weights that were given for the teacher.
        accepted_teacher: Identity of weights that are used though their accuracy is at chance.
    """

    data_dir: str | None = None
    teacher: str | None = None
    accepted_teacher: str | None = None


@strict
@dataclass(frozen=True, kw_only=True)
class RunSettings(RunPlaces):
    """Where it had its files, what it gave each trial, and whether it ran without Ray."""

    cpus_per_trial: Annotated[float, Field(gt=0, le=1e6)]
    gpus_per_trial: Annotated[float, Field(ge=0, le=1e6)]
    inline: bool = False


@exact
@dataclass(frozen=True)
class RunBudget:
    """What it was allowed to use; None for no limit."""

    max_kwh: _Limit | None = None
    max_co2_g: _Limit | None = None


@strict
@dataclass(frozen=True)
class RunDocument:
    """What was asked.

    Attributes:
        strategies: By label.
        options: Of the last command.
        carbon: How energy becomes CO2.
        study: The study, not validated yet.
        budget: Of the last command.
    """

    strategies: list[str]
    options: RunSettings
    carbon: Carbon
    study: dict[str, Any]
    budget: RunBudget = field(default_factory=RunBudget)
