"""What each line of a trial log has to hold."""

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, ValidationError, model_validator

from kdtune.errors import SpecError
from kdtune.results.documents import Accuracy, Count, Loss, Name, Shape, Tested, Value
from kdtune.specs.search_space import GREATEST
from kdtune.specs.suggestion import Suggestion as Suggested
from kdtune.specs.trial_spec import TrialSpec
from kdtune.storage.records import faults

EndStatus = Literal["completed", "pruned", "failed", "interrupted"]
StudyStatus = Literal["completed", "incomplete", "interrupted", "budget"]


def _no_evaluation(trial_id: str) -> str:
    if trial_id.startswith("evaluation-"):
        raise ValueError("is how the window of an evaluation is called")
    return trial_id


TrialId = Annotated[Name, AfterValidator(_no_evaluation)]

#: Repeats and attempts are counted one by one.
Few = Annotated[int, Field(ge=0, le=1_000_000)]


def _readable(point: dict[str, Any]) -> dict[str, Any]:
    """A flat point; the names of components and their options may be those of components that are not installed."""
    try:
        suggested = Suggested.from_point(point)
    except SpecError as error:
        raise ValueError("; ".join(f"{fault.key!r} {fault.problem}" for fault in error.faults)) from None
    if any(abs(value) > GREATEST for value in suggested.values.values()):
        raise ValueError(f"it has a number greater than {GREATEST:g}")
    if not (suggested.values.keys() & {"tau"} or suggested.method or suggested.temperature):
        raise ValueError("it has no tau, nor what stands for one")
    return point


class Session(Shape):
    """A command set to work."""

    id: Name


class Suggestion(Shape):
    """A strategy suggested a training; lines of earlier releases have no ``spec``."""

    trial_id: TrialId
    repeat: Few
    seed: Count
    index: Count
    point: Annotated[dict[str, Any], AfterValidator(_readable)]
    spec: TrialSpec | None = None


class Attempt(Shape):
    """A run of a trial began."""

    trial_id: str
    attempt: Few


class End(Shape):
    """An attempt ended."""

    trial_id: str
    status: EndStatus
    epochs: Count
    val_accuracy: Accuracy | None
    val_loss: Loss | None
    val_objective: Value | None = None
    error: str | None

    @model_validator(mode="after")
    def _judged(self) -> "End":
        decided = self.val_accuracy if self.val_objective is None else self.val_objective
        if self.status == "completed" and (decided is None or self.val_loss is None):
            raise ValueError("completed, but without its accuracy and loss")
        return self


class OfRepeat(Shape):
    """Something happened to a whole repeat."""

    repeat: Few


class EvaluationAttempt(OfRepeat):
    """An evaluation began."""

    attempt: Few


class Evaluation(OfRepeat):
    """A chosen model met the test set."""

    trial_id: str
    test: Tested


class Status(Shape):
    """The command stopped."""

    status: StudyStatus


#: By the type of a line.
SHAPES: dict[str, type[Shape]] = {
    "session": Session,
    "suggestion": Suggestion,
    "attempt": Attempt,
    "end": End,
    "planned": OfRepeat,
    "evaluation_attempt": EvaluationAttempt,
    "evaluation": Evaluation,
    "status": Status,
}


def check_line(line: dict[str, Any]) -> None:
    """Make sure that a line holds what it has to.

    Raises:
        ValueError: It does not; says what is wrong.
    """
    kind = line.get("type")
    if not isinstance(kind, str) or kind not in SHAPES:
        raise ValueError(f"unknown type {kind!r}")
    try:
        SHAPES[kind].model_validate(line)
    except ValidationError as error:
        raise ValueError(faults(error)) from None
