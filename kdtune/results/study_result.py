"""What a whole study came to."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kdtune.results.folder import StrategyFolder
from kdtune.results.outcome import SCHEMA_VERSION
from kdtune.results.shared_costs import read_shared
from kdtune.specs.study import Study


@dataclass(frozen=True)
class StudyResult:
    """What a study came to.

    Attributes:
        study: The study as it ran.
        folder: ``results/<study>``.
        results: The ``result.json`` document of each strategy that was run, in the order asked for.
        interrupted: Whether the user stopped it.
        is_settled: Whether nothing is left that resuming would run.
        over_budget: Which limit was reached, in words; None where none was.
        errors: Why a strategy could not be carried through, such as a failure of Ray; or what happened to Ray when
            all was done already.
        can_resume: Whether ``kdtune resume`` would go on with it: else nothing of it was begun.
    """

    study: Study
    folder: Path
    results: list[dict[str, Any]]
    interrupted: bool
    is_settled: bool
    over_budget: str | None = None
    errors: tuple[str, ...] = ()
    can_resume: bool = True

    @property
    def exit_code(self) -> int:
        """What the command ends with: 130 interrupted, 1 incomplete, 4 over budget, 0 done."""
        if self.interrupted:
            return 130
        stopped = {result["status"] for result in self.results} - {"completed"}
        if self.over_budget and stopped <= {"budget"}:
            return 4
        return 1 if stopped or (self.errors and not self.is_settled) else 0

    def as_json(self) -> dict[str, Any]:
        """The document that ``--json`` prints."""
        return {"schema_version": SCHEMA_VERSION, "results": self.results}

    def teacher(self) -> dict[str, Any] | None:
        """The teacher's record, with its energy; None where no strategy used one."""
        for result in self.results:
            folder = StrategyFolder(self.folder / result["strategy"])
            if teacher := read_shared(folder)["teacher"]:
                return dict(teacher)
        return None
