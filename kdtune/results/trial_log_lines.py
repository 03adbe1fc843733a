"""Schemas of the lines of a trial log."""

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from kdtune.errors import SpecError
from kdtune.results.deployed_model import DeployedModel
from kdtune.specs.search_space import GREATEST
from kdtune.specs.suggestion import Suggestion as Suggested
from kdtune.specs.trial_spec import TrialSpec
from kdtune.storage.field_types import Accuracy, Count, Loss, Name, TestMetrics, Value
from kdtune.storage.records import faults, parsed

EndStatus = Literal["completed", "pruned", "failed", "interrupted"]
StudyStatus = Literal["completed", "incomplete", "interrupted", "budget"]


def _no_evaluation(trial_id: str) -> str:
    if trial_id.startswith("evaluation-"):
        raise ValueError("a trial must not have the id of an evaluation window")
    return trial_id


TrialId = Annotated[Name, AfterValidator(_no_evaluation)]

#: Number of a repeat or an attempt.
Few = Annotated[int, Field(ge=0, le=1_000_000)]


def _readable(point: dict[str, Any]) -> dict[str, Any]:
    """Check a flat point. Components that are not installed and their options are accepted."""
    try:
        suggested = Suggested.from_point(point)
    except SpecError as error:
        raise ValueError("; ".join(f"{fault.key!r} {fault.problem}" for fault in error.faults)) from None
    if any(abs(value) > GREATEST for value in suggested.values.values()):
        raise ValueError(f"it has a value greater than {GREATEST:g}")
    if not (suggested.values.keys() & {"tau"} or suggested.method or suggested.temperature):
        raise ValueError("it has no tau, method or temperature")
    return point


def _deployed(record: dict[str, Any]) -> dict[str, Any]:
    parsed(record, DeployedModel)
    return record


class TrialLogLine(BaseModel):
    """A line of the trial log. Keys that are not fields are ignored."""

    model_config = ConfigDict(strict=True, allow_inf_nan=False)


class SessionLine(TrialLogLine):
    """A command starts to work."""

    id: Name


class SuggestionLine(TrialLogLine):
    """A strategy suggests a training; lines of earlier releases have no ``spec``."""

    trial_id: TrialId
    repeat: Few
    seed: Count
    index: Count
    point: Annotated[dict[str, Any], AfterValidator(_readable)]
    spec: TrialSpec | None = None


class AttemptLine(TrialLogLine):
    """An attempt of a trial starts."""

    trial_id: str
    attempt: Few


class EndLine(TrialLogLine):
    """An attempt ends."""

    trial_id: str
    status: EndStatus
    epochs: Count
    val_accuracy: Accuracy | None
    val_loss: Loss | None
    val_objective: Value | None = None
    error: str | None

    @model_validator(mode="after")
    def _judged(self) -> "EndLine":
        decided = self.val_accuracy if self.val_objective is None else self.val_objective
        if self.status == "completed" and (decided is None or self.val_loss is None):
            raise ValueError("a completed trial must have accuracy and loss")
        return self


class RepeatLine(TrialLogLine):
    """An event of a whole repeat."""

    repeat: Few


class PlannedLine(RepeatLine):
    """A strategy has suggested all trials of a repeat, and may have chosen one."""

    chosen: str | None = None


class EvaluationAttemptLine(RepeatLine):
    """An evaluation starts."""

    attempt: Few


class EvaluationLine(RepeatLine):
    """A chosen model has been evaluated on the test set."""

    trial_id: str
    test: TestMetrics
    deployed: Annotated[dict[str, Any], AfterValidator(_deployed)] | None = None


class StatusLine(TrialLogLine):
    """The command stops."""

    status: StudyStatus


#: The model of each type of line.
LINE_TYPES: dict[str, type[TrialLogLine]] = {
    "session": SessionLine,
    "suggestion": SuggestionLine,
    "attempt": AttemptLine,
    "end": EndLine,
    "planned": PlannedLine,
    "evaluation_attempt": EvaluationAttemptLine,
    "evaluation": EvaluationLine,
    "status": StatusLine,
}


def check_line(line: dict[str, Any]) -> None:
    """Check that a line has the fields of its type.

    Raises:
        ValueError: It does not; the message says what is wrong.
    """
    kind = line.get("type")
    if not isinstance(kind, str) or kind not in LINE_TYPES:
        raise ValueError(f"unknown type {kind!r}")
    try:
        LINE_TYPES[kind].model_validate(line)
    except ValidationError as error:
        raise ValueError(faults(error)) from None
