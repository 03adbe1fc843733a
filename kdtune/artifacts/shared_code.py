"""Code of compiled networks as an artifact: generated once for all trainings."""

import shutil
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self

from kdtune.artifacts.artifact import Artifact, Charge
from kdtune.artifacts.compiled_code import KIND, CompiledCode
from kdtune.training.resolution import representative_recipe

if TYPE_CHECKING:
    from kdtune.artifacts.training_context import TrainingContext


@dataclass(frozen=True)
class SharedCode(Artifact):
    """The code of a study's networks.

    Attributes:
        folder: In the cache.
        asks_teacher: Whether a teacher that is asked in every step is compiled too.
        networks: Their names, for messages.
    """

    kind: ClassVar[str] = KIND
    contents: ClassVar[str] = "code of compiled networks, with energy records"
    description: ClassVar[str] = "the code of the networks"

    folder: Path
    asks_teacher: bool
    networks: str

    @property
    def _code(self) -> CompiledCode:
        return CompiledCode(self.folder)

    def is_complete(self) -> bool:
        """Whether all of it was generated."""
        return self._code.is_made()

    def announcement(self) -> str:
        """The message for the user."""
        return f"compiling {self.networks} once for all trainings"

    def begin(self) -> None:
        """Delete code whose making no ledger covers: it would make the rest seem cheap."""
        if not self.is_metered():
            shutil.rmtree(self._code.code, ignore_errors=True)

    def make(self, context: "TrainingContext", part: None, charge: Charge) -> None:
        """Generate it; like all that a worker does before its first trial that is orchestration."""
        recipe = representative_recipe(context.study, with_teacher=self.asks_teacher)
        context.compile_networks(self._code, recipe)

    def finish(self) -> None:
        """Note that it is whole."""
        self._code.note_made()

    @property
    def environment(self) -> Mapping[str, str]:
        """A process of its own: what an earlier job has compiled in a process is not generated there again."""
        return self._code.environment

    def copy_to_meter(self) -> Self:
        """A folder below: another process may be using this code."""
        return replace(self, folder=self.folder / "again")

    def facts(self) -> dict[str, Any]:
        """Nothing but its energy."""
        return {}
