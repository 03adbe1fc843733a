"""Conversion of the options of components and strategies to JSON values."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np


def json_value(value: Any) -> Any:
    """Return a value as JSON and TOML hold it: scalars of NumPy become Python's, and tuples become lists.

    An option then has the same value in the identity of a trial, in a frozen study and in the call of a component.

    Raises:
        ValueError: JSON cannot hold the value.
    """
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        if not math.isfinite(value):
            raise ValueError(f"has to be a finite number, got {value}")
        return value
    if isinstance(value, list | tuple):
        return [json_value(one) for one in value]
    if isinstance(value, Mapping) and all(isinstance(key, str) for key in value):
        return {key: json_value(one) for key, one in value.items()}
    raise ValueError(f"has to be a number, a text, a truth value, or a list or table of these, got {_shown(value)}")


def _shown(value: Any) -> str:
    text = repr(value).splitlines()[0]
    return f"{text if len(text) <= 60 else text[:57] + '...'} of type {type(value).__name__}"
