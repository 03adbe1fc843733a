"""Dataclasses as JSON values and back: the annotations of a dataclass are what pydantic validates, and nothing else."""

import json
from dataclasses import Field, fields, is_dataclass
from functools import cache
from types import GenericAlias
from typing import Any, TypeVar

from pydantic import ConfigDict, TypeAdapter, ValidationError, with_config

T = TypeVar("T")

#: Decorate dataclasses that are read from files. A value of another type is refused instead of converted; a key that is
#: no field is ignored by the first, as it may be a later release's, and refused by the second.
strict = with_config(ConfigDict(strict=True, allow_inf_nan=False))
exact = with_config(ConfigDict(strict=True, allow_inf_nan=False, extra="forbid"))

#: Metadata of a dataclass's field whose key is left out of the record where the value is None.
LEFT_OUT_IF_NONE = {"left_out_if_none": True}


def as_record(value: Any) -> Any:
    """The JSON value of a dataclass, or of a container with dataclasses in it; keys are the fields, in their order."""
    if is_dataclass(value) and not isinstance(value, type):
        known = ((field, getattr(value, field.name)) for field in fields(value))
        return {field.name: as_record(one) for field, one in known if not _is_left_out(field, one)}
    if isinstance(value, dict):
        return {key: as_record(one) for key, one in value.items()}
    return [as_record(one) for one in value] if isinstance(value, list | tuple) else value


def _is_left_out(field: "Field[Any]", value: object) -> bool:
    return value is None and bool(field.metadata.get("left_out_if_none"))


def parsed(value: object, kind: type[T] | GenericAlias) -> T:
    """A value from JSON or TOML as a dataclass, or as any other type that pydantic knows.

    Args:
        value: Dictionaries, lists and what they hold.
        kind: The type. Dataclasses are built from dictionaries, and tuples from lists.

    Raises:
        ValidationError: The value does not fit the type.
    """
    form: Any = kind
    # Validated as JSON, since from Python objects a strict dataclass accepts its own instances only.
    found: T = _adapter(form).validate_json(json.dumps(value, default=str))
    return found


def faults(error: ValidationError) -> str:
    """What is wrong, in a few words: each key and why, three at most."""
    told = [f"{'.'.join(map(str, one['loc'])) or 'it'}: {one['msg']}" for one in error.errors()]
    return "; ".join(told[:3]) + ("; ..." if len(told) > 3 else "")


@cache
def _adapter(kind: Any) -> TypeAdapter[Any]:
    return TypeAdapter(kind)
