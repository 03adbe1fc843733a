"""Artifact for the code of compiled networks, which is generated once for all trainings."""

import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self

from kdtune.artifacts.artifact import Artifact, Charge
from kdtune.artifacts.compiled_code import KIND, CompiledCode, compiler_environment_restored
from kdtune.training.resolution import representative_recipe

if TYPE_CHECKING:
    from kdtune.artifacts.training_context import TrainingContext
    from kdtune.specs.trial_spec import Recipe


@contextmanager
def code_found(context: "TrainingContext", recipe: "Recipe") -> Iterator[None]:
    """Use cached code, if it is complete, for the first steps of trainings within the block.

    A process that tries several numerics needs this, since the code of each is in another folder.
    """
    with compiler_environment_restored():
        context.find_code(recipe)
        yield


def compile_networks(context: "TrainingContext", code: CompiledCode, recipe: "Recipe") -> None:
    """Generate the code for a study's trainings by taking the first steps of a training that is then discarded.

    Call it in a process that has not compiled anything yet, since code that is in memory is not written again.

    Args:
        context: The study's training context.
        code: Folder of the code.
        recipe: Recipe of the training; a teacher that it needs runs in every step.

    Raises:
        CompileError: There is no compiler, or it fails.
    """
    code.use()
    # The code does not depend on the teacher's weights.
    teacher = context.untrained_teacher_logits() if recipe.needs_teacher else None
    context.training(recipe, 0, teacher).warm_up()


@dataclass(frozen=True)
class SharedCode(Artifact):
    """The code of a study's networks.

    Attributes:
        folder: Folder in the cache.
        asks_teacher: Whether the code includes a teacher that runs in every step.
        networks: Names of the networks, for messages.
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
        """Return whether all code was generated."""
        return self._code.is_made()

    def announcement(self) -> str:
        """Return the message for the user."""
        return f"compiling {self.networks} once for all trainings"

    def begin(self) -> None:
        """Delete code without energy records: reusing it would make the measured energy too low."""
        if not self.is_metered():
            shutil.rmtree(self._code.code, ignore_errors=True)

    def make(self, context: "TrainingContext", part: None, charge: Charge) -> None:
        """Generate the code. Its energy is orchestration, like everything that a worker does before its first trial."""
        recipe = representative_recipe(context.study, with_teacher=self.asks_teacher)
        compile_networks(context, self._code, recipe)

    def finish(self) -> None:
        """Mark the code as complete."""
        self._code.mark_complete()

    @property
    def environment(self) -> Mapping[str, str]:
        """Variables of a separate process, since a process does not generate again what it has compiled before."""
        return self._code.environment

    def copy_to_meter(self) -> Self:
        """Return an artifact in a subfolder, since another process may be using this code."""
        return replace(self, folder=self.folder / "again")

    def facts(self) -> dict[str, Any]:
        """Return no facts: only the energy is recorded."""
        return {}
