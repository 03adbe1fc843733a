"""What each line of a trial log has to hold."""

from collections.abc import Container
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, ValidationError, model_validator

from kdtune.methods import LOSSES
from kdtune.results.documents import Accuracy, Count, Loss, Name, Shape, Tested
from kdtune.specs.search_space import GREATEST, SEARCHABLE
from kdtune.specs.training_settings import DRAWS, SCALES
from kdtune.storage.records import faults
from kdtune.temperature import POLICIES

EndStatus = Literal["completed", "pruned", "failed", "interrupted"]
StudyStatus = Literal["completed", "incomplete", "interrupted", "budget"]


def _no_evaluation(trial_id: str) -> str:
    if trial_id.startswith("evaluation-"):
        raise ValueError("is how the window of an evaluation is called")
    return trial_id


TrialId = Annotated[Name, AfterValidator(_no_evaluation)]

#: Repeats and attempts are counted one by one.
Few = Annotated[int, Field(ge=0, le=1_000_000)]

#: What a point may say beside values of the search space.
_NAMES: dict[str, Container[str]] = {
    "temperature": POLICIES,
    "loss": LOSSES,
    "draw": DRAWS,
    "scale": SCALES,
}
_NUMBERS = (*SEARCHABLE, "longer", "restart")


def _known_point(point: dict[str, Any]) -> dict[str, Any]:
    for key, value in point.items():
        if key in _NAMES:
            known = isinstance(value, str) and value in _NAMES[key]
        else:
            known = key in _NUMBERS and type(value) in (int, float) and abs(value) <= GREATEST
        if not known:
            raise ValueError(f"{key!r} cannot be {value!r}")
    if "loss" not in point and "tau" not in point and point.get("temperature", "fixed") == "fixed":
        raise ValueError("it has no tau, nor what stands for one")
    return point


class Session(Shape):
    """A command set to work."""

    id: Name


class Suggestion(Shape):
    """A point was proposed."""

    trial_id: TrialId
    repeat: Few
    seed: Count
    index: Count
    point: Annotated[dict[str, Any], AfterValidator(_known_point)]


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
    error: str | None

    @model_validator(mode="after")
    def _judged(self) -> "End":
        if self.status == "completed" and (self.val_accuracy is None or self.val_loss is None):
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
