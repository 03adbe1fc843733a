"""Parsing of JSON and TOML from files that may be damaged or come from other people, with one type of error."""

import codecs
import json
import math
import pickle
import tomllib
from collections.abc import Iterator
from functools import lru_cache
from typing import Any, NoReturn

from kdtune.errors import KdtuneError

#: Byte order marks of encodings that TOML does not allow. UTF-32 comes first, since its mark begins like UTF-16's.
_OTHER_MARKS = {
    codecs.BOM_UTF32_LE: "UTF-32",
    codecs.BOM_UTF32_BE: "UTF-32",
    codecs.BOM_UTF16_LE: "UTF-16",
    codecs.BOM_UTF16_BE: "UTF-16",
}


def parse_json(raw: bytes | str) -> Any:
    """Parse JSON.

    Raises:
        ValueError: The text is not JSON, or contains something that kdtune never writes: a number that is not finite,
            very deep nesting, or half of a surrogate pair.
    """
    try:
        value = json.loads(raw, parse_constant=_no_number, parse_float=_finite)
        # Half of a surrogate pair can be neither printed nor written.
        if (b"\\u" if isinstance(raw, bytes) else "\\u") in raw:  # type: ignore[operator]
            json.dumps(value, ensure_ascii=False).encode()
    except RecursionError:
        raise ValueError("nested too deeply") from None
    return value


def to_json(value: Any, where: object, **form: Any) -> str:
    """Return a value as JSON.

    Args:
        value: Dictionaries, lists and other JSON values.
        where: The file to be written, for messages.
        form: Keyword arguments of :func:`json.dumps`.

    Raises:
        KdtuneError: The value contains a number that is not finite, which JSON cannot represent; the message names its
            key.
    """
    try:
        return json.dumps(value, allow_nan=False, **form)
    except ValueError:
        found = next(_not_finite(value, ""), None)
        if found is None:
            raise
        key, number = found
        raise KdtuneError(
            f"{where}: {key} is {number}, which is not a finite number, so the file was not written"
        ) from None


def _not_finite(value: Any, key: str) -> Iterator[tuple[str, float]]:
    """Yield the numbers in a value that are not finite, each with its dotted key."""
    if isinstance(value, float) and not math.isfinite(value):
        yield key, value
    inside = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list | tuple) else ()
    for name, one in inside:
        yield from _not_finite(one, f"{key}.{name}" if key else str(name))


def _no_number(text: str) -> NoReturn:
    raise ValueError(f"{text} is not a number")


def _finite(text: str) -> float:
    value = float(text)
    if math.isinf(value):
        raise ValueError(f"{text[:20]} is too large")
    return value


def parse_toml(raw: bytes) -> dict[str, Any]:
    """Parse TOML.

    Raises:
        ValueError: The content is not TOML or not text.
    """
    table: dict[str, Any] = pickle.loads(_pickled_toml(raw))  # the caller's own, to change
    return table


@lru_cache(maxsize=256)
def _pickled_toml(raw: bytes) -> bytes:
    """Parse TOML once for each content, since a command reads the same file many times and unpickling is faster."""
    try:
        return pickle.dumps(tomllib.loads(_utf8(raw)))
    except RecursionError:
        raise ValueError("nested too deeply") from None


def _utf8(raw: bytes) -> str:
    """Return a file's text, without the byte order mark that editors on Windows add."""
    encoding = next((name for mark, name in _OTHER_MARKS.items() if raw.startswith(mark)), None)
    if encoding or 0 in raw[:2]:  # half of a UTF-16 character, without a mark
        raise ValueError(f"the file is {encoding or 'UTF-16'}; save it as UTF-8")
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise ValueError(f"line {line} is not UTF-8 (byte 0x{raw[error.start]:02x}); save the file as UTF-8") from None
