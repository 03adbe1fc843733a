"""A strategy's ``study.toml``: the study as it ran, and its resolved settings."""

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
from kdtune.specs.study_components import moved_study
from kdtune.specs.study_differences import differences
from kdtune.storage.checksums import CHECKSUM_KEY, checksum
from kdtune.storage.field_types import Name
from kdtune.storage.files import replaced_atomically
from kdtune.storage.records import strict

T = TypeVar("T")

#: Fields of a study that may differ between the strategies in one folder.
_NOT_COMPARED = {"description", "strategies", "attribution"}


def _checksum(table: dict[str, Any]) -> int:
    """Return the checksum of a table, which does not depend on the order of its keys."""
    return checksum(json.loads(json.dumps(table, sort_keys=True, default=str)))


@strict
@dataclass(frozen=True)
class ResolvedSettings:
    """Resolved settings of a strategy, which are needed to run its networks again.

    Attributes:
        cpus_per_trial: Cores for each trial.
        gpus_per_trial: Share of a GPU for each trial.
        teacher: Name of the teacher's folder in the cache.
        workload: Size of the trainings.
        versions: Versions of Python, torch and other packages, and the device.
        data: Identity of the data set's files; empty for a data set that is included in a package.
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
        """The file with the study as it ran and its resolved settings."""
        return self.path / "study.toml"

    def write_study(self, study: Study, resolved: dict[str, Any]) -> None:
        """Write ``study.toml``.

        Args:
            study: The study.
            resolved: The resolved settings, which are written under ``resolved``.
        """
        table = study.model_dump(mode="json", exclude_none=True)
        whole = {**table, "resolved": {**resolved, CHECKSUM_KEY: _checksum({**table, "resolved": resolved})}}
        with replaced_atomically(self.study_toml) as file:
            tomli_w.dump(whole, file)

    def read_study(self) -> Study:
        """Return the study as it ran.

        Raises:
            ResultsError: The file does not exist or was changed.
            SpecError: The study is not valid.
        """
        if not self.study_toml.is_file():
            raise ResultsError(f"{self.path}: no study.toml, so this is not a strategy's results folder")
        self._frozen()
        # Options of a new study are checked by its components, which this would import if [resolved] were missing.
        return load_study(self.study_toml, has_run=True)

    def study_here(self) -> Study:
        """Return the study as it ran, with the present paths of files that were moved together with this folder.

        Raises:
            ResultsError: See :meth:`read_study`; or ``[resolved]`` is damaged.
            SpecError: The study is not valid.
        """
        began_in = self.resolved().get("folder")
        return moved_study(self.read_study(), Path(began_in), self.path) if began_in else self.read_study()

    def _frozen(self) -> dict[str, Any]:
        """Return the whole table of ``study.toml``, after checking its checksum; early releases wrote none."""
        table = read_table(self.study_toml, REMEDY)
        resolved = table.get("resolved")
        if isinstance(resolved, dict) and CHECKSUM_KEY in resolved:
            expected = resolved.pop(CHECKSUM_KEY)
            if expected != _checksum(table):
                raise ResultsError(f"{self.study_toml}: the file was changed after it was written; {REMEDY}")
        return table

    def differences(self, study: Study) -> list[str]:
        """Return descriptions of the differences between a study and this one; empty if none was written yet.

        Raises:
            ResultsError: ``study.toml`` cannot be read.
        """
        if not self.study_toml.is_file():
            return []
        frozen = self.read_study()
        return differences(frozen, study.settled_as(frozen), leave_out=_NOT_COMPARED)

    def resolved(self) -> dict[str, Any]:
        """Return the resolved settings: numerics, sizes and versions.

        Raises:
            ResultsError: They are missing or damaged.
        """
        return check_key("resolved", self._frozen().get("resolved"), dict[str, Any], self.study_toml, REMEDY)

    def rerun_settings(self) -> ResolvedSettings:
        """Return the resolved settings that are needed to run the networks again.

        Raises:
            ResultsError: They are missing or damaged.
        """
        return check(self.resolved(), ResolvedSettings, self.study_toml, REMEDY)

    def workload(self) -> Workload:
        """Return the size of the trainings.

        Raises:
            ResultsError: It is missing or damaged.
        """
        return self._resolved("workload", Workload)

    def versions(self) -> dict[str, str]:
        """Return the versions of Python, torch and other packages.

        Raises:
            ResultsError: They are missing or damaged.
        """
        return self._resolved("versions", dict[str, str])

    def energy_multiple(self) -> float | None:
        """Return the energy of a distillation divided by that of training the student alone.

        Returns:
            The ratio; None if the length of the strategy's trainings does not depend on it.

        Raises:
            ResultsError: The value is damaged.
        """
        multiple = self.resolved().get("energy_multiple")
        return None if multiple is None else self._resolved("energy_multiple", float)

    def reduces_range(self) -> bool | None:
        """Return whether quantised students use 7 bits for activations, unless their strategy decides otherwise.

        Returns:
            The decision of the machine that inspected the study; None if no strategy quantises.

        Raises:
            ResultsError: The value is damaged.
        """
        decided = self.resolved().get("reduce_range")
        return None if decided is None else self._resolved("reduce_range", bool)

    def _resolved(self, key: str, kind: type[T]) -> T:
        return check_key(f"resolved.{key}", self.resolved().get(key), kind, self.study_toml, REMEDY)
