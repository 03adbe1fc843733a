"""What a whole study came to."""

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
    """What a study came to.

    Attributes:
        study: The study as it ran.
        folder: ``results/<study>``.
        outcomes: Of each strategy that was run, in the order asked for.
        interrupted: Whether the user stopped it.
        is_settled: Whether nothing is left that resuming would run.
        over_budget: Which limit was reached, in words; None where none was.
        errors: Why a strategy could not be carried through, such as a failure of Ray; or what happened to Ray when
            all was done already.
        can_resume: Whether ``kdtune resume`` would go on with it: else nothing of it was begun.
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
        """The ``result.json`` document of each strategy, as :attr:`outcomes`."""
        return [outcome.as_json() for outcome in self.outcomes]

    @property
    def exit_code(self) -> int:
        """What the command ends with: 130 interrupted, 1 incomplete, 4 over budget, 0 done."""
        if self.interrupted:
            return 130
        stopped = {outcome.status for outcome in self.outcomes} - {"completed"}
        if self.over_budget and stopped <= {"budget"}:
            return 4
        return 1 if stopped or (self.errors and not self.is_settled) else 0

    def as_json(self) -> dict[str, Any]:
        """The document that ``--json`` prints."""
        return {"schema_version": SCHEMA_VERSION, "results": self.results}

    def teacher(self) -> Teacher | None:
        """The teacher with its energy; None where no strategy used one."""
        for outcome in self.outcomes:
            if teacher := read_shared(StrategyFolder(self.folder / outcome.strategy)).teacher:
                return teacher
        return None
