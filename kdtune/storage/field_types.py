"""Types of fields that occur in several kinds of files, with the limits that pydantic checks."""

from typing import Annotated

from pydantic import AfterValidator, Field

#: A number of things or the value of a counter. The upper bound is far above all real values.
Count = Annotated[int, Field(ge=0, lt=2**63)]

#: The value of a counter that is computed from others and may therefore decrease.
SignedCount = Annotated[int, Field(gt=-(2**63), lt=2**63)]

Accuracy = Annotated[float, Field(ge=0, le=1)]
Value = Annotated[float, Field(ge=-1e308, le=1e308)]
Loss = Value

#: A physical quantity, such as seconds or kilowatt-hours.
Amount = Annotated[float, Field(ge=0, le=1e30)]

#: The name of a file or a folder, which cannot lead out of the folder that contains it.
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,254}$")]


def _with_sound_accuracy(metrics: dict[str, float | None]) -> dict[str, float | None]:
    accuracy = metrics.get("accuracy", 0.0)
    if accuracy is None or not 0 <= accuracy <= 1:
        raise ValueError(f"the accuracy must be a fraction between 0 and 1, got {accuracy}")
    return metrics


#: Metrics on the test images by name: None if a metric is not defined, which the accuracy of a task that has one is.
TestMetrics = Annotated[dict[str, float | None], AfterValidator(_with_sound_accuracy)]
