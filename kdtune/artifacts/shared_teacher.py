"""Artifact for the teacher, which is trained once, or evaluated once if a user gave its weights."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from kdtune.artifacts.artifact import Artifact, Charge
from kdtune.artifacts.teacher_record import epoch_journal, read_record
from kdtune.energy.flops import Workload
from kdtune.specs.study import Study
from kdtune.storage.journal import Journal

if TYPE_CHECKING:
    from kdtune.artifacts.training_context import TrainingContext


@dataclass(frozen=True)
class SharedTeacher(Artifact):
    """A study's teacher.

    For weights that a user gave, the energy of the training is unknown, and the artifact's energy is that of the
    evaluation.

    Attributes:
        folder: Folder in the cache.
        study: Study that uses the teacher, with its split and its seed.
        workload: Sizes of networks and data, from which FLOPs are computed.
        repeat_seed: Seed of the repeat whose teacher it is; None if all repeats share it.
    """

    kind: ClassVar[str] = "teachers"
    contents: ClassVar[str] = "teachers, trained or given, with their energy records"
    description: ClassVar[str] = "the teacher"

    folder: Path
    study: Study
    workload: Workload
    repeat_seed: int | None = None

    @property
    def _epochs(self) -> Journal[dict[str, Any]]:
        return epoch_journal(self.folder)

    def is_complete(self) -> bool:
        """Return whether the record exists, which is written last."""
        return read_record(self.folder) is not None

    def announcement(self) -> str:
        """Return the message for the user."""
        whose = "" if self.repeat_seed is None else f", for the repeat with seed {self.repeat_seed}"
        if self.study.teacher_weights:
            return f"evaluating the given teacher, {self.study.teacher}{whose}"
        again = " again, since the cached one is incomplete or damaged" if (self.folder / "teacher.pt").exists() else ""
        return f"training the teacher, {self.study.teacher}{whose}{again}"

    def begin(self) -> None:
        """Delete the record of epochs of an earlier training that cannot be continued."""
        if not self.study.teacher_weights and not (self.folder / "checkpoints").exists():
            self._epochs.path.unlink(missing_ok=True)

    def make(self, context: "TrainingContext", part: None, charge: Charge) -> None:
        """Train the teacher and append each epoch to ``epochs.jsonl``, or evaluate it if its weights were given."""
        _ = context.teacher_splits
        if self.study.teacher_weights:
            _ = context.teacher
            with charge("teacher", "evaluation"):
                context.measure_teacher(self.folder)
            return
        with charge("teacher", "trials"):
            context.train_teacher(self.folder, on_epoch=lambda metrics: self._epochs.append(metrics.as_report()))

    def last_epoch(self) -> dict[str, Any] | None:
        """Return the metrics of the last completed epoch; None before the first."""
        epochs = self._epochs.read()
        return epochs[-1] if epochs else None

    def is_metered_completely(self) -> bool:
        """Return whether all recorded epochs were trained by metered commands."""
        record = read_record(self.folder)
        epochs = record["epochs"] if record else None
        metered = {metrics.get("epoch") for metrics in self._epochs.read()}
        return not (epochs and metered and len(metered) < epochs)

    def facts(self) -> dict[str, Any]:
        """Return the teacher's record, its key and its training FLOPs."""
        record = read_record(self.folder)
        assert record is not None
        epochs = record["epochs"]
        gflops_millions = None if epochs is None else self.workload.teacher_flops(epochs) / 1e15
        return {**record, "key": self.folder.name, "gflops_millions": gflops_millions}
