"""Artifact for the teacher's logits of a repeat, which are computed once for all trainings with the same images."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self

from kdtune.artifacts.artifact import Artifact, Charge
from kdtune.artifacts.logit_store import FILLINGS, SINGLE, LogitStore

if TYPE_CHECKING:
    from kdtune.artifacts.training_context import TrainingContext


@dataclass(frozen=True)
class SharedLogits(Artifact):
    """The logits of all epochs of a repeat.

    Attributes:
        store: File of the logits.
        seed: Seed of the repeat.
    """

    kind: ClassVar[str] = "teacher-logits"
    contents: ClassVar[str] = "logits of teachers for every image, with energy records"
    description: ClassVar[str] = "the teacher's logits"
    rounds: ClassVar[int] = FILLINGS

    store: LogitStore
    seed: int

    @property
    def folder(self) -> Path:  # type: ignore[override]
        """The store's folder."""
        return self.store.folder

    def is_complete(self) -> bool:
        """Return whether the store has the logits of every epoch."""
        return not self.store.missing_epochs()

    def announcement(self) -> str:
        """Return the message for the user."""
        return f"computing the teacher's logits once for all trainings with seed {self.seed}"

    def begin(self) -> None:
        """Create the store."""
        self.store.create()

    def parts(self, slots: int) -> list[list[int]]:
        """Return the missing epochs, distributed over the slots."""
        missing = self.store.missing_epochs()
        count = min(len(missing), slots)
        return [missing[part::count] for part in range(count)]

    def make(self, context: "TrainingContext", part: list[int], charge: Charge) -> None:
        """Compute the logits of the given epochs."""
        _ = context.teacher, context.splits
        with charge(f"teacher-logits-{self.seed}-{part[0]}", "trials"):
            context.fill_logits(self.seed, part, self.folder)

    def finish(self) -> str | None:
        """Return a message if the logits exceed float16's range."""
        if self.store.dtype == SINGLE:
            return "the teacher's logits exceed float16's range; they are kept in float32"
        return None

    def copy_to_meter(self) -> Self:
        """Return an artifact in a subfolder, since another process may be reading this store."""
        return replace(self, store=replace(self.store, folder=self.folder / "again"))

    def facts(self) -> dict[str, Any]:
        """Return the number of images that the teacher classified."""
        return {"passes": self.store.shape.epochs * self.store.shape.images}
