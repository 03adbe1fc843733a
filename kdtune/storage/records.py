"""Conversion of dataclasses to JSON values and back; pydantic checks the values against the annotations."""

import json
from dataclasses import Field, fields, is_dataclass
from functools import cache
from types import GenericAlias
from typing import Any, TypeVar

from pydantic import ConfigDict, TypeAdapter, ValidationError, with_config

T = TypeVar("T")

#: Decorators of dataclasses that are read from files. Values of another type are refused instead of converted. Unknown
#: keys, which later releases may write, are ignored by the first decorator and refused by the second.
strict = with_config(ConfigDict(strict=True, allow_inf_nan=False))
exact = with_config(ConfigDict(strict=True, allow_inf_nan=False, extra="forbid"))

#: Metadata of a dataclass's field whose key is left out of the record if the value is None.
LEFT_OUT_IF_NONE = {"left_out_if_none": True}


def as_record(value: Any) -> Any:
    """Return a dataclass, or a container with dataclasses in it, as a JSON value; keys keep the order of the fields."""
    if is_dataclass(value) and not isinstance(value, type):
        known = ((field, getattr(value, field.name)) for field in fields(value))
        return {field.name: as_record(one) for field, one in known if not _is_left_out(field, one)}
    if isinstance(value, dict):
        return {key: as_record(one) for key, one in value.items()}
    return [as_record(one) for one in value] if isinstance(value, list | tuple) else value


def _is_left_out(field: "Field[Any]", value: object) -> bool:
    return value is None and bool(field.metadata.get("left_out_if_none"))


def parsed(value: object, kind: type[T] | GenericAlias) -> T:
    """Return a value from JSON or TOML as a dataclass, or as any other type that pydantic supports.

    Args:
        value: Dictionaries, lists and other JSON values.
        kind: The type. Dataclasses are built from dictionaries, and tuples from lists.

    Raises:
        ValidationError: The value does not match the type.
    """
    form: Any = kind
    # The value is validated as JSON, since from Python objects a strict dataclass accepts only its own instances.
    found: T = _adapter(form).validate_json(json.dumps(value, default=str))
    return found


def faults(error: ValidationError) -> str:
    """Return a short description of an error: key and problem of the first three faults."""
    found = [f"{'.'.join(map(str, one['loc'])) or 'it'}: {one['msg']}" for one in error.errors()]
    return "; ".join(found[:3]) + ("; ..." if len(found) > 3 else "")


@cache
def _adapter(kind: Any) -> TypeAdapter[Any]:
    return TypeAdapter(kind)
