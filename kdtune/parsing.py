"""JSON and TOML from files that may be damaged, or somebody else's: parsed, or one kind of error."""

import json
import math
import tomllib
from typing import Any, NoReturn


def parse_json(raw: bytes | str) -> Any:
    """What JSON stands for.

    Raises:
        ValueError: It is no JSON, or says what kdtune never writes: a number that is none, brackets without end, half
            a character.
    """
    try:
        value = json.loads(raw, parse_constant=_no_number, parse_float=_finite)
        # Half of a pair of surrogates can neither be printed nor be written.
        if (b"\\u" if isinstance(raw, bytes) else "\\u") in raw:  # type: ignore[operator]
            json.dumps(value, ensure_ascii=False).encode()
    except RecursionError:
        raise ValueError("nested too deeply") from None
    return value


def _no_number(text: str) -> NoReturn:
    raise ValueError(f"{text} is no number")


def _finite(text: str) -> float:
    value = float(text)
    if math.isinf(value):
        raise ValueError(f"{text[:20]} is too large")
    return value


def parse_toml(raw: bytes) -> dict[str, Any]:
    """What TOML stands for.

    Raises:
        ValueError: It is no TOML, or no text.
    """
    try:
        return tomllib.loads(raw.decode("utf-8"))
    except RecursionError:
        raise ValueError("nested too deeply") from None
