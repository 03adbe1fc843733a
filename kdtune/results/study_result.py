"""Result of a whole study."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kdtune.results.folder import StrategyFolder
from kdtune.results.shared_document import Teacher
from kdtune.results.shared_inputs import read_shared
from kdtune.results.strategy_result import SCHEMA_VERSION, StrategyResult
from kdtune.specs.study import Study


@dataclass(frozen=True)
class StudyResult:
    """Result of a study.

    Attributes:
        study: The study as it ran.
        folder: ``results/<study>``.
        outcomes: Result of each strategy that was run, in the order in which the user named them.
        interrupted: Whether the user interrupted the study.
        is_settled: Whether resuming the study would run nothing.
        over_budget: Description of the limit that was reached; None if none was.
        errors: Errors that stopped a strategy, such as a failure of Ray, or that occurred after all work was done.
        can_resume: Whether ``kdtune resume`` can continue the study; False if nothing of it was started.
    """

    study: Study
    folder: Path
    outcomes: Sequence[StrategyResult]
    interrupted: bool
    is_settled: bool
    over_budget: str | None = None
    errors: tuple[str, ...] = ()
    can_resume: bool = True

    @property
    def results(self) -> list[dict[str, Any]]:
        """The ``result.json`` document of each strategy, in the order of :attr:`outcomes`."""
        return [outcome.as_json() for outcome in self.outcomes]

    @property
    def exit_code(self) -> int:
        """Exit code of the command: 130 interrupted, 1 incomplete, 4 over budget, 0 done."""
        if self.interrupted:
            return 130
        stopped = {outcome.status for outcome in self.outcomes} - {"completed"}
        if self.over_budget and stopped <= {"budget"}:
            return 4
        return 1 if stopped or (self.errors and not self.is_settled) else 0

    def as_json(self) -> dict[str, Any]:
        """Return the document that ``--json`` prints."""
        return {"schema_version": SCHEMA_VERSION, "results": self.results}

    def teacher(self) -> Teacher | None:
        """Return the teacher with its energy; None if no strategy used one."""
        for outcome in self.outcomes:
            if teacher := read_shared(StrategyFolder(self.folder / outcome.strategy)).mean_teacher:
                return teacher
        return None
