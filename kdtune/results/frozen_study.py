"""A strategy's ``study.toml``: the study as it ran, and how it was run."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, TypeVar

import tomli_w
from pydantic import Field

from kdtune.energy.flops import Workload
from kdtune.errors import ResultsError
from kdtune.results.documents import REMEDY, check, check_key, read_table
from kdtune.specs import load_study
from kdtune.specs.study import Study
from kdtune.specs.study_differences import differences
from kdtune.storage.checksums import CHECKSUM_KEY, checksum
from kdtune.storage.field_types import Name
from kdtune.storage.files import replaced_atomically
from kdtune.storage.records import strict

T = TypeVar("T")

#: What of a study may differ between strategies that are compared in one folder.
_NOT_COMPARED = {"description", "strategies", "attribution"}


def _checksum(table: dict[str, Any]) -> int:
    """Of a table, whatever the order of its keys: TOML has its own."""
    return checksum(json.loads(json.dumps(table, sort_keys=True, default=str)))


@strict
@dataclass(frozen=True)
class Resolved:
    """How a strategy was run, as far as it is relied on to run its networks again.

    Attributes:
        cpus_per_trial: Cores for each trial.
        gpus_per_trial: Share of a GPU for each trial.
        teacher: Name of the teacher's folder in the cache.
        workload: The size of its trainings.
        versions: Of Python, torch and the rest, and the device.
        data: Identity of the data set's files; empty for one that is bundled.
    """

    cpus_per_trial: Annotated[float, Field(gt=0, le=1e6)]
    gpus_per_trial: Annotated[float, Field(ge=0, le=1e6)]
    teacher: Name
    workload: Workload
    versions: dict[str, str]
    data: str = ""


@dataclass(frozen=True)
class FrozenStudy:
    """The study in a strategy's folder."""

    path: Path

    @property
    def study_toml(self) -> Path:
        """The study as it ran, frozen, with what was resolved beside it."""
        return self.path / "study.toml"

    def write_study(self, study: Study, resolved: dict[str, Any]) -> None:
        """Freeze what runs: the study, and under ``resolved`` how it was run."""
        table = study.model_dump(mode="json", exclude_none=True)
        whole = {**table, "resolved": {**resolved, CHECKSUM_KEY: _checksum({**table, "resolved": resolved})}}
        with replaced_atomically(self.study_toml) as file:
            tomli_w.dump(whole, file)

    def read_study(self) -> Study:
        """The frozen study.

        Raises:
            ResultsError: There is none, or it was changed since.
            SpecError: It is no valid study.
        """
        if not self.study_toml.is_file():
            raise ResultsError(f"{self.path}: no study.toml, so this is not a strategy's results folder")
        self._frozen()
        return load_study(self.study_toml)

    def _frozen(self) -> dict[str, Any]:
        """The whole table of ``study.toml``; one that was written before kdtune noted checksums is believed."""
        table = read_table(self.study_toml, REMEDY)
        resolved = table.get("resolved")
        if isinstance(resolved, dict) and CHECKSUM_KEY in resolved:
            seal = resolved.pop(CHECKSUM_KEY)
            if seal != _checksum(table):
                raise ResultsError(f"{self.study_toml}: was changed after it was written; {REMEDY}")
        return table

    def differences(self, study: Study) -> list[str]:
        """In what a study differs from the frozen one, in words; nothing where none is frozen yet.

        Raises:
            ResultsError: The frozen study cannot be read.
        """
        if not self.study_toml.is_file():
            return []
        frozen = self.read_study()
        return differences(frozen, study.settled_as(frozen), leave_out=_NOT_COMPARED)

    def resolved(self) -> dict[str, Any]:
        """How it was run: numerics, sizes and versions.

        Raises:
            ResultsError: It is not there, or damaged.
        """
        return check_key("resolved", self._frozen().get("resolved"), dict[str, Any], self.study_toml, REMEDY)

    def run_again(self) -> Resolved:
        """How it was run, with all that it takes to run its networks again.

        Raises:
            ResultsError: It is not noted, or damaged.
        """
        return check(self.resolved(), Resolved, self.study_toml, REMEDY)

    def workload(self) -> Workload:
        """The size of its trainings.

        Raises:
            ResultsError: It is not noted, or damaged.
        """
        return self._resolved("workload", Workload)

    def versions(self) -> dict[str, str]:
        """Of Python, torch and the rest, as it was run.

        Raises:
            ResultsError: They are not noted, or damaged.
        """
        return self._resolved("versions", dict[str, str])

    def energy_multiple(self) -> float | None:
        """Energy of a distillation over that of the student alone, where a strategy's length was settled by it.

        Raises:
            ResultsError: It is damaged.
        """
        multiple = self.resolved().get("energy_multiple")
        return None if multiple is None else self._resolved("energy_multiple", float)

    def _resolved(self, key: str, kind: type[T]) -> T:
        return check_key(f"resolved.{key}", self.resolved().get(key), kind, self.study_toml, REMEDY)
