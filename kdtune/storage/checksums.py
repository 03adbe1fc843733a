"""Records that carry their own checksum: a changed digit is noticed, and in a file of lines a missing line too.

Sealed lines name the checksum of the one before them, whoever wrote that.
"""

import json
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from kdtune.storage.files import append_lines, last_line

#: In a sealed record: the checksum of all the rest.
SEAL = "crc32"

#: In a sealed line: the seal of the line before it; None in the first one, and after a line without a seal.
BEFORE = "before"


class TornChainError(ValueError):
    """The last line of a file is damaged, so that nothing can be chained to it."""


def checksum(record: Mapping[str, Any]) -> int:
    """Of a record in the order of its keys."""
    return zlib.crc32(json.dumps(record, separators=(",", ":")).encode())


def sealed(record: Mapping[str, Any]) -> dict[str, Any]:
    """The record with its checksum."""
    return {**record, SEAL: checksum(record)}


def unsealed(record: Mapping[str, Any]) -> dict[str, Any]:
    """The record without its checksum; one that was written before kdtune noted checksums is believed.

    Raises:
        ValueError: The checksum does not fit.
    """
    rest = {key: value for key, value in record.items() if key != SEAL}
    if SEAL in record and record[SEAL] != checksum(rest):
        raise ValueError("its checksum does not fit: it was changed after it was written")
    return rest


def append_sealed(path: Path, record: Mapping[str, Any]) -> None:
    """Append a line with its checksum and that of the line before it, and force it to the disk.

    Raises:
        TornChainError: The line before it is damaged.
        ValueError: JSON cannot say it.
    """
    try:
        before = last_line(path)
    except (ValueError, TypeError) as error:
        raise TornChainError(str(error)) from None
    append_lines(path, sealed({**record, BEFORE: before and before.get(SEAL)}))


def chained(lines: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The lines of a file in which their order matters, without seals; a line that stands there again is left out.

    Raises:
        ValueError: One was changed, is missing before another or stands elsewhere; begins with the line's number.
    """
    found: list[dict[str, Any]] = []
    last: int | None = None
    seen: set[int] = set()
    for number, line in enumerate(lines, start=1):
        try:
            rest = unsealed(line)
        except ValueError as error:
            raise ValueError(f"line {number}: {error}") from None
        seal, before = line.get(SEAL), rest.pop(BEFORE, None)
        if seal in seen:
            continue
        if (seal is None and seen) or before != last:
            raise ValueError(f"line {number}: the line that was written before it is missing, or elsewhere")
        if seal is not None:
            seen.add(seal)
            last = seal
        found.append(rest)
    return found
