"""Records that carry their own checksum: a changed digit is noticed, and in a file of lines a missing line too.

Sealed lines name the checksum of the one before them, whoever wrote that.
"""

import json
import zlib
from collections.abc import Mapping
from typing import Any

#: In a sealed record: the checksum of all the rest.
SEAL = "crc32"

#: In a sealed line: the seal of the line before it; None in the first one, and after a line without a seal.
BEFORE = "before"


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
