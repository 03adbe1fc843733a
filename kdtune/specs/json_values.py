"""Conversion of the options of components and strategies to JSON values."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np


def json_value(value: Any, *, may_be_none: bool = True) -> Any:
    """Return a value as JSON holds it: scalars of NumPy become Python's, and tuples become lists.

    An option then has the same value in the identity of a trial, in a frozen study and in the call of a component.

    Args:
        value: The value.
        may_be_none: Whether it may be or contain None, which JSON holds and the TOML of a frozen study does not.

    Raises:
        ValueError: JSON or TOML cannot hold the value.
    """
    if isinstance(value, np.generic):
        value = value.item()
    if value is None and not may_be_none:
        raise ValueError("has no value (None); leave the option out")
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        if not math.isfinite(value):
            raise ValueError(f"has to be a finite number, got {value}")
        return value
    if isinstance(value, list | tuple):
        return [json_value(one, may_be_none=may_be_none) for one in value]
    if isinstance(value, Mapping) and all(isinstance(key, str) for key in value):
        return {key: json_value(one, may_be_none=may_be_none) for key, one in value.items()}
    raise ValueError(f"has to be a number, a text, a truth value, or a list or table of these, got {_shown(value)}")


def _shown(value: Any) -> str:
    text = repr(value).splitlines()[0]
    return f"{text if len(text) <= 60 else text[:57] + '...'} of type {type(value).__name__}"
