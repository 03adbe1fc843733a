"""The teacher as an artifact: trained once, or measured where its weights were given."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from kdtune.artifacts.artifact import Artifact, Charge
from kdtune.artifacts.teacher_record import epoch_journal, read_record
from kdtune.energy.flops import Workload
from kdtune.specs.study import Study
from kdtune.storage.journal import Journal

if TYPE_CHECKING:
    from kdtune.artifacts.workbench import Workbench


@dataclass(frozen=True)
class SharedTeacher(Artifact):
    """A study's teacher.

    Of a teacher that was given the training's energy is unknown: its energy is that of measuring its accuracy.

    Attributes:
        folder: In the cache.
        study: Whose teacher it is.
        workload: Sizes, for FLOPs.
    """

    kind: ClassVar[str] = "teachers"
    contents: ClassVar[str] = "teachers, trained or given, with their energy records"
    description: ClassVar[str] = "the teacher"

    folder: Path
    study: Study
    workload: Workload

    @property
    def _epochs(self) -> Journal[dict[str, Any]]:
        return epoch_journal(self.folder)

    def is_complete(self) -> bool:
        """Whether its record is there, which is written last."""
        return read_record(self.folder) is not None

    def announcement(self) -> str:
        """The message for the user."""
        if self.study.teacher_weights:
            return f"measuring the teacher that was given, {self.study.teacher}"
        again = ", anew: what the cache has is not whole" if (self.folder / "teacher.pt").exists() else ""
        return f"training the teacher, {self.study.teacher}{again}"

    def begin(self) -> None:
        """Drop the epochs of an earlier training that cannot be continued."""
        if not self.study.teacher_weights and not (self.folder / "checkpoints").exists():
            self._epochs.path.unlink(missing_ok=True)

    def make(self, bench: "Workbench", part: None, charge: Charge) -> None:
        """Train it, adding a line to ``epochs.jsonl`` after each epoch; or measure it where it was given."""
        _ = bench.splits
        if self.study.teacher_weights:
            _ = bench.teacher
            with charge("teacher", "evaluation"):
                bench.measure_teacher(self.folder)
            return
        with charge("teacher", "trials"):
            bench.train_teacher(self.folder, on_epoch=lambda metrics: self._epochs.append(metrics.as_report()))

    def last_epoch(self) -> dict[str, Any] | None:
        """The metrics of the last epoch that was trained so far; None before the first."""
        epochs = self._epochs.read()
        return epochs[-1] if epochs else None

    def is_metered_whole(self) -> bool:
        """Whether all epochs that are known were trained by metered commands."""
        record = read_record(self.folder)
        epochs = record["epochs"] if record else None
        metered = {metrics.get("epoch") for metrics in self._epochs.read()}
        return not (epochs and metered and len(metered) < epochs)

    def facts(self) -> dict[str, Any]:
        """Its record, its key and its training FLOPs."""
        record = read_record(self.folder)
        assert record is not None
        epochs = record["epochs"]
        gflops_millions = None if epochs is None else self.workload.teacher_flops(epochs) / 1e15
        return {**record, "key": self.folder.name, "gflops_millions": gflops_millions}
