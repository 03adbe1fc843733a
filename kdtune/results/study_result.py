"""What a whole study came to."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kdtune.results.folder import StrategyFolder
from kdtune.results.outcome import SCHEMA_VERSION, read_shared
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
        errors: Why a strategy could not be carried through, such as a failure of Ray.
    """

    study: Study
    folder: Path
    results: list[dict[str, Any]]
    interrupted: bool
    is_settled: bool
    errors: tuple[str, ...] = ()

    @property
    def exit_code(self) -> int:
        """What the command ends with: 130 interrupted, 1 incomplete, 0 done."""
        if self.interrupted:
            return 130
        return 0 if all(result["status"] == "completed" for result in self.results) else 1

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
