"""Dataclasses of ``run.toml``, with the fields that are needed to resume a study."""

from dataclasses import dataclass, field
from typing import Annotated, Any

from pydantic import Field

from kdtune.energy.carbon import Carbon
from kdtune.storage.records import exact, strict

_Limit = Annotated[float, Field(gt=0)]


@strict
@dataclass(frozen=True, kw_only=True)
class RunPaths:
    """Paths that the last command used.

    Attributes:
        data_dir: Folder with the data sets.
        teacher: File with the teacher's weights, if the user gave one.
        accepted_teacher: Identity of weights that the user accepted although their accuracy is at chance.
        folder: The results folder, to which the study's files may lie in the same relation after a move.
    """

    folder: str | None = None
    data_dir: str | None = None
    teacher: str | None = None
    accepted_teacher: str | None = None


@strict
@dataclass(frozen=True, kw_only=True)
class RunSettings(RunPaths):
    """Paths of the last command, the resources of each trial, and whether the command ran without Ray."""

    cpus_per_trial: Annotated[float, Field(gt=0, le=1e6)]
    gpus_per_trial: Annotated[float, Field(ge=0, le=1e6)]
    inline: bool = False


@exact
@dataclass(frozen=True)
class RunBudget:
    """Energy and CO2 that the command may use; None means no limit."""

    max_kwh: _Limit | None = None
    max_co2_g: _Limit | None = None


@strict
@dataclass(frozen=True)
class RunDocument:
    """Content of ``run.toml``.

    Attributes:
        strategies: Labels of the strategies.
        options: Options of the last command.
        carbon: Factors that convert energy to CO2.
        study: The study, which has not been validated.
        budget: Budget of the last command.
    """

    strategies: list[str]
    options: RunSettings
    carbon: Carbon
    study: dict[str, Any]
    budget: RunBudget = field(default_factory=RunBudget)
