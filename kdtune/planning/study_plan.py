"""The plan of a study: its suggestions, and the time and energy that it is expected to take."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from kdtune.energy.carbon import Carbon
from kdtune.forecast.strategy_estimate import LogitsEstimate, SynthesisEstimate, TeacherEstimate, sum_or_none
from kdtune.planning.estimates import SessionEstimate
from kdtune.planning.trial_plan import uses_teacher
from kdtune.results.estimate_document import StrategyEstimate
from kdtune.results.strategy_result import SCHEMA_VERSION
from kdtune.specs.study import Study
from kdtune.specs.suggestion import Suggestion


@dataclass(frozen=True)
class StudyPlan:
    """The plan of a study that has not been run.

    Attributes:
        study: The study.
        folder: Folder in which its results would be written.
        suggestions: Suggestions of each repeat, by strategy; None for a strategy whose suggestions depend on outcomes.
        estimates: Estimate of each strategy, in the order in which they would run.
        teacher: Estimate of the teacher; None if no strategy uses one.
        session: Estimate of what all strategies share.
        slots: Number of trials that run at the same time.
        carbon: Conversion of energy to CO2.
        remarks: Remarks for the user.
        logits: Estimate of computing the teacher's logits once for all trainings; None if they are computed in every
            step.
        students: Estimate of the strategy with whose students a strategy begins, without the session, by the latter.
        compiled_uj: Energy of compilation, by strategy, that is charged to it but already used; in microjoules.
        images: Estimate of making images from the teacher once for all trainings; None for a study on real images.
    """

    study: Study
    folder: Path
    suggestions: dict[str, list[list[Suggestion]] | None]
    estimates: list[StrategyEstimate]
    teacher: TeacherEstimate | None
    session: SessionEstimate
    slots: int
    carbon: Carbon
    remarks: tuple[str, ...]
    logits: LogitsEstimate | None = None
    compiled_uj: Mapping[str, int] = field(default_factory=dict)
    images: SynthesisEstimate | None = None
    students: Mapping[str, StrategyEstimate] = field(default_factory=dict)

    @property
    def total_wall_s(self) -> float | None:
        """Duration of the whole command in seconds; strategies run one after the other."""
        teacher_s = self.teacher.wall_s if self.teacher else 0.0
        logits_s = self.logits.wall_s if self.logits else 0.0
        images_s = (self.images.wall_s or 0.0) if self.images else 0.0
        return sum_or_none(
            self.session.charge.wall_s, teacher_s, logits_s, images_s, *(one.wall_s for one in self.estimates)
        )

    @property
    def total_uj(self) -> int | None:
        """Energy of the whole command in microjoules.

        What the strategies share is counted once, and what was used before the command is not counted.
        """
        shared = self.session.charge.energy_uj(dedicated=self.study.is_dedicated)
        repeated = None if shared is None else -shared * (len(self.estimates) - 1)
        teacher = self.teacher.charged_uj if self.teacher else 0
        due = self.logits.due_uj if self.logits else 0
        used = -sum(self.compiled_uj.values())
        students = (None if one.charged_uj is None else -one.charged_uj for one in self.students.values())
        own = (self._without_logits(one) for one in self.estimates)
        total = sum_or_none(repeated, teacher, due, used, self._images_uj, *students, *own)
        return None if total is None else round(total)

    @property
    def _images_uj(self) -> int:
        """Energy of making the images that are missing, less what the strategies are charged for all of them."""
        if self.images is None or self.images.charged_uj is None:
            return 0  # if it is unknown, no strategy's estimate includes it
        return (self.images.due_uj or 0) - self.images.charged_uj * len(self.estimates)

    def _without_logits(self, estimate: StrategyEstimate) -> int | None:
        """Return the energy of a strategy without its charge for shared logits, in microjoules."""
        if self.logits is None or not uses_teacher(self.study, estimate.strategy):
            return estimate.charged_uj
        if estimate.charged_uj is None or self.logits.charged_uj is None:
            return None
        return estimate.charged_uj - self.logits.charged_uj

    @property
    def total_gflops_millions(self) -> float:
        """FLOPs of the whole command in 1e15. What strategies share is counted once."""
        whole = sum(one.gflops_millions for one in [*self.estimates, self.teacher] if one)
        return whole - sum(one.gflops_millions for one in self.students.values())

    @property
    def complete(self) -> bool:
        """Whether all figures include start-up; otherwise they are lower bounds."""
        made = (self.teacher is None or self.teacher.cached) and (self.logits is None or not self.logits.due_uj)
        made = made and (self.images is None or self.images.due_uj == 0)
        return made and all(one.complete for one in self.estimates)

    def as_json(self) -> dict[str, Any]:
        """Return the document that ``--json`` prints."""
        return {
            "schema_version": SCHEMA_VERSION,
            "plan": {
                "study": self.study.name,
                "folder": str(self.folder),
                "seeds": self.study.seeds(),
                "epochs": self.study.training.epochs,
                "trials_side_by_side": self.slots,
                "strategies": [
                    {**one.as_record(), **self._reported(one.charged_uj), "points": self._points(one.strategy)}
                    for one in self.estimates
                ],
                "teacher": {**asdict(self.teacher), **self._reported(self.teacher.charged_uj)}
                if self.teacher
                else None,
                "teacher_logits": {**asdict(self.logits), **self._reported(self.logits.due_uj)}
                if self.logits
                else None,
                "synthesis": {**asdict(self.images), **self._reported(self.images.due_uj)} if self.images else None,
                "numerics": self.study.numerics.model_dump(),
                "total": {
                    "trials": sum(one.trials for one in self.estimates),
                    "gflops_millions": self.total_gflops_millions,
                    "wall_s": self.total_wall_s,
                    "charged_uj": self.total_uj,
                    **self._reported(self.total_uj),
                    "complete": self.complete,
                },
                "carbon": self.carbon.as_record(),
                "remarks": list(self.remarks),
            },
        }

    def _points(self, strategy: str) -> list[list[dict[str, Any]]] | None:
        repeats = self.suggestions[strategy]
        return None if repeats is None else [[one.as_point() for one in repeat] for repeat in repeats]

    def _reported(self, energy_uj: int | None) -> dict[str, float | None]:
        return {
            "charged_kwh": None if energy_uj is None else self.carbon.kwh(energy_uj),
            "charged_co2_g": None if energy_uj is None else self.carbon.co2_g(energy_uj),
        }
