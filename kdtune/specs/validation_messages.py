"""Conversion of pydantic's errors to messages for users, with suggestions for misspelt keys."""

import types
from collections.abc import Sequence
from typing import Any, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError

from kdtune.catalog.spelling import did_you_mean
from kdtune.errors import Fault
from kdtune.specs.search_space import Dimension, SearchSpace

#: Pydantic's names for the types of a number that is either a fraction or a count.
_KINDS = frozenset({"int", "float", "constrained-int", "constrained-float"})


def _model_at(model: Any, path: Sequence[Any]) -> "type[BaseModel] | None":
    """Return the model at a path inside another model; None if there is none."""
    if get_origin(model) in (Union, types.UnionType):
        model = next((arg for arg in get_args(model) if arg is not type(None)), None)
    if not (isinstance(model, type) and issubclass(model, BaseModel)):
        return None
    if not path:
        return model
    if issubclass(model, SearchSpace):
        return Dimension if len(path) == 1 else None
    field = model.model_fields.get(str(path[0]))
    return _model_at(field.annotation, path[1:]) if field else None


def faults_of(error: ValidationError, model: type[BaseModel], where: str, prefix: str = "") -> list[Fault]:
    """Return the faults of a pydantic error.

    Args:
        error: The error that pydantic raised.
        model: The validated model, for suggestions.
        where: The file or flag that holds the value.
        prefix: Dotted key of the model in the file.
    """
    faults = []
    for item in error.errors():
        # For a union of types, pydantic reports the type as if it were a key.
        location = [part for part in item["loc"] if part not in _KINDS or item["type"] == "extra_forbidden"]
        key = ".".join(filter(None, [prefix, *map(str, location)]))
        given = item.get("input")
        if item["type"] == "extra_forbidden":
            inside = _model_at(model, location[:-1])
            known = list(inside.model_fields) if inside else []
            problem = f"unknown key; {did_you_mean(str(location[-1]), known) if known else 'no key is known here'}"
        elif item["type"] == "missing":
            problem = "is missing"
        elif item["type"] in ("model_type", "model_attributes_type", "dict_type"):
            problem = f"has to be a table, got {given!r}"
        elif item["type"] in ("tuple_type", "list_type"):
            problem = f"has to be a list, such as [{given!r}], got {given!r}"
        else:
            problem = item["msg"].removeprefix("Value error, ").removeprefix("Input ")
            named = isinstance(given, str) and repr(given) in problem
            if isinstance(given, str | int | float | bool | list | tuple) and not named:
                problem += f", got {given!r}"
        fault = Fault(where, key, problem)
        if fault not in faults:
            faults.append(fault)
    return faults
