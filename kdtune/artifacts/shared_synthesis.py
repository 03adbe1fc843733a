"""Artifact for images that are made from the teacher once, for all trainings of a study without data."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from kdtune.artifacts.artifact import Artifact, Charge
from kdtune.artifacts.synthetic_images import KIND, SyntheticImages
from kdtune.storage.wording import counted

if TYPE_CHECKING:
    from kdtune.artifacts.training_context import TrainingContext


@dataclass(frozen=True)
class SharedSynthesis(Artifact):
    """The images of a study.

    Attributes:
        images: Where they are stored.
        method: Name of the method that makes them.
        independent: Whether batches can be made in any order.
        count: Number of images.
        flops: FLOPs of making all of them.
    """

    kind: ClassVar[str] = KIND
    contents: ClassVar[str] = "images made from teachers, with energy records"
    description: ClassVar[str] = "the synthetic images"

    images: SyntheticImages
    method: str
    independent: bool
    count: int
    flops: int

    @property
    def folder(self) -> Path:  # type: ignore[override]
        """The images' folder."""
        return self.images.folder

    def is_complete(self) -> bool:
        """Return whether the record exists, which is written last, and the images are undamaged."""
        return self.images.record() is not None

    def announcement(self) -> str:
        """Return the message for the user."""
        missing = len(self.images.missing())
        rest = "" if missing == self.images.batches else f"; {self.images.batches - missing} were made before"
        return f"making images from the teacher with {self.method}, {self.images.batches} batches{rest}"

    def parts(self, slots: int) -> list[list[int]]:
        """Return the missing batches, distributed over the slots."""
        missing = self.images.missing()
        count = self.parallel(len(missing), slots)
        return [missing[part::count] for part in range(count)]

    def parallel(self, missing: int, slots: int) -> int:
        """Return how many parts are made at the same time.

        Args:
            missing: Number of missing batches.
            slots: Number of parts that can be made in parallel.
        """
        return max(1, min(missing, slots)) if self.independent else 1

    def make(self, context: "TrainingContext", part: list[int], charge: Charge) -> None:
        """Make the given batches; none are left if a command was killed just before it completed the images."""
        from kdtune.artifacts.student_data import make_images

        _ = context.teacher
        with charge(f"synthetic-images-{part[0] if part else 'end'}", "trials"):
            make_images(context, part)

    def finish(self) -> str:
        """Return a message about the images."""
        facts = self.facts()
        return (
            f"made {counted(facts['images'], 'image')}; the teacher's confidence in them is {facts['confidence']:.0%}, "
            f"and {facts['target_agreement']:.0%} are of the class that they were made for; see {self.images.sheet}"
        )

    def facts(self) -> dict[str, Any]:
        """Return what is known of the images."""
        record = self.images.record()
        assert record is not None
        return record
