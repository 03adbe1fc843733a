"""Reading and writing the documents of a results folder as dataclasses.

The dataclasses themselves say what a document has to hold: their annotations are what pydantic validates. Further keys
are ignored, so that a document of a later release is readable.
"""

from pathlib import Path
from types import GenericAlias
from typing import Annotated, Any, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from kdtune.energy.attribution import BUCKETS, FLAGS
from kdtune.energy.sensors.node import QUALITIES
from kdtune.errors import ResultsError
from kdtune.storage.checksums import unsealed
from kdtune.storage.files import read_whole
from kdtune.storage.parsing import parse_json, parse_toml
from kdtune.storage.records import faults, parsed

#: What to do about a document that is made again from other files.
MADE_AGAIN = "delete it, it is made again from the other files"

#: What to do about what was written once, while a strategy ran, and is made by nothing else.
REMEDY = "put a copy of it in its place, or run the strategy again with 'kdtune study' and --fresh"

T = TypeVar("T")

Bucket = Annotated[str, Field(pattern=f"^({'|'.join(BUCKETS)})$")]
BucketOrTotal = Annotated[str, Field(pattern=f"^({'|'.join(BUCKETS)}|node_total)$")]
Flag = Annotated[str, Field(pattern=f"^({'|'.join(FLAGS)})$")]
Source = Annotated[str, Field(pattern=f"_({'|'.join(QUALITIES)})$")]
Count = Annotated[int, Field(ge=0, lt=2**63)]
Accuracy = Annotated[float, Field(ge=0, le=1)]
Value = Annotated[float, Field(ge=-1e308, le=1e308)]
Loss = Value
Amount = Annotated[float, Field(ge=0, le=1e30)]

#: What names a file or a folder: nothing that leads out of where it lies.
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,254}$")]


def _with_accuracy(metrics: dict[str, float | None]) -> dict[str, float | None]:
    accuracy = metrics.get("accuracy")
    if accuracy is None or not 0 <= accuracy <= 1:
        raise ValueError(f"its accuracy has to be a fraction, and is {accuracy}")
    return metrics


#: Metrics on the test images by name; the accuracy is always among them. None where a metric is not defined.
TestMetrics = Annotated[dict[str, float | None], AfterValidator(_with_accuracy)]


class Shape(BaseModel):
    """What a line of the trial log holds; further keys are let through."""

    model_config = ConfigDict(strict=True, allow_inf_nan=False)


class Tested(Shape):
    """Metrics on the test images, of which the accuracy is relied on."""

    accuracy: Accuracy


def check(value: Any, kind: type[T] | GenericAlias, path: Path, remedy: str) -> T:
    """The content of a file as a dataclass; see :func:`kdtune.storage.records.parsed`.

    Args:
        value: What was read.
        kind: The type that it has to fit.
        path: The file.
        remedy: What to do about one that is damaged.

    Raises:
        ResultsError: The value does not fit the type.
    """
    try:
        return parsed(value, kind)
    except ValidationError as error:
        raise ResultsError(f"{path}: damaged ({faults(error)}); {remedy}") from None


def check_key(key: str, value: Any, kind: type[T], path: Path, remedy: str) -> T:
    """As :func:`check`, for the value under a key that a message has to name."""
    found: dict[str, T] = check({key: value}, GenericAlias(dict, (str, kind)), path, remedy)
    return found[key]


def read_object(path: Path, remedy: str = MADE_AGAIN) -> dict[str, Any]:
    """A JSON object from a results folder, with all of its keys but the checksum.

    Raises:
        ResultsError: It is missing or damaged.
    """
    try:
        document = parse_json(read_whole(path))
        if not isinstance(document, dict):
            raise ValueError("not an object")
        return unsealed(document)
    except (OSError, ValueError) as error:
        raise ResultsError(f"{path}: damaged ({error}); {remedy}") from None


def read_document(path: Path, kind: type[T], remedy: str = MADE_AGAIN) -> T:
    """A JSON document of a results folder.

    Raises:
        ResultsError: It is missing or damaged.
    """
    return check(read_object(path, remedy), kind, path, remedy)


def read_table(path: Path, remedy: str) -> dict[str, Any]:
    """A TOML file of a results folder.

    Raises:
        ResultsError: It is missing or damaged.
    """
    try:
        return parse_toml(read_whole(path))
    except (OSError, ValueError) as error:
        raise ResultsError(f"{path}: damaged ({error}); {remedy}") from None
