"""Reading of the documents in a results folder as dataclasses.

The annotations of a dataclass are the schema of its document, which pydantic checks. Keys that are not fields are
ignored, so documents of later releases can be read.
"""

from pathlib import Path
from types import GenericAlias
from typing import Annotated, Any, TypeVar

from pydantic import Field, ValidationError

from kdtune.energy.attribution import BUCKETS, FLAGS
from kdtune.energy.sensors.node import QUALITIES
from kdtune.errors import ResultsError
from kdtune.storage.checksums import verified
from kdtune.storage.files import read_whole
from kdtune.storage.parsing import parse_json, parse_toml
from kdtune.storage.records import faults, parsed

#: What the user can do about a damaged document that is built from other files.
MADE_AGAIN = "delete it; it is built again from the other files"

#: What the user can do about a damaged file that was written while a strategy ran and cannot be built again.
REMEDY = "replace it with an intact copy, or run the strategy again with 'kdtune study --fresh'"

T = TypeVar("T")

Bucket = Annotated[str, Field(pattern=f"^({'|'.join(BUCKETS)})$")]
BucketOrTotal = Annotated[str, Field(pattern=f"^({'|'.join(BUCKETS)}|node_total)$")]
Flag = Annotated[str, Field(pattern=f"^({'|'.join(FLAGS)})$")]
Source = Annotated[str, Field(pattern=f"_({'|'.join(QUALITIES)})$")]


def check(value: Any, kind: type[T] | GenericAlias, path: Path, remedy: str) -> T:
    """Return the content of a file as a dataclass; see :func:`kdtune.storage.records.parsed`.

    Args:
        value: The content, parsed from JSON or TOML.
        kind: The dataclass or other type.
        path: The file, for messages.
        remedy: What the user can do about a damaged file, for messages.

    Raises:
        ResultsError: The content does not match the type.
    """
    try:
        return parsed(value, kind)
    except ValidationError as error:
        raise ResultsError(f"{path}: damaged ({faults(error)}); {remedy}") from None


def check_key(key: str, value: Any, kind: type[T], path: Path, remedy: str) -> T:
    """Return the value of a key as a type, like :func:`check`; messages name the key."""
    found: dict[str, T] = check({key: value}, GenericAlias(dict, (str, kind)), path, remedy)
    return found[key]


def read_object(path: Path, remedy: str = MADE_AGAIN) -> dict[str, Any]:
    """Read a JSON object and return it without its checksum.

    Raises:
        ResultsError: It is missing or damaged.
    """
    try:
        document = parse_json(read_whole(path))
        if not isinstance(document, dict):
            raise ValueError("not an object")
        return verified(document)
    except (OSError, ValueError) as error:
        raise ResultsError(f"{path}: damaged ({error}); {remedy}") from None


def read_document(path: Path, kind: type[T], remedy: str = MADE_AGAIN) -> T:
    """Read a JSON document and return it as a dataclass.

    Raises:
        ResultsError: It is missing or damaged.
    """
    return check(read_object(path, remedy), kind, path, remedy)


def read_table(path: Path, remedy: str) -> dict[str, Any]:
    """Read a TOML file and return its content.

    Raises:
        ResultsError: It is missing or damaged.
    """
    try:
        return parse_toml(read_whole(path))
    except (OSError, ValueError) as error:
        raise ResultsError(f"{path}: damaged ({error}); {remedy}") from None
