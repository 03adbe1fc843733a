"""Records that contain their own checksum, so that changes are detected.

A line of a journal also contains the checksum of the line before it, so that missing lines are detected too.
"""

import json
import zlib
from collections.abc import Mapping
from typing import Any

#: Key of the checksum of all other keys of a record.
CHECKSUM_KEY = "crc32"

#: Key of the checksum of the line before; None in the first line, and after a line without a checksum.
PREVIOUS_CHECKSUM_KEY = "before"


def checksum(record: Mapping[str, Any]) -> int:
    """Return the checksum of a record, which depends on the order of the keys."""
    return zlib.crc32(json.dumps(record, separators=(",", ":")).encode())


def with_checksum(record: Mapping[str, Any]) -> dict[str, Any]:
    """Return a record with its checksum added."""
    return {**record, CHECKSUM_KEY: checksum(record)}


def verified(record: Mapping[str, Any]) -> dict[str, Any]:
    """Return a record without its checksum, after checking it. Records of early releases have none and are accepted.

    Raises:
        ValueError: The checksum does not match.
    """
    rest = {key: value for key, value in record.items() if key != CHECKSUM_KEY}
    if CHECKSUM_KEY in record and record[CHECKSUM_KEY] != checksum(rest):
        raise ValueError("its checksum does not match: it was changed after it was written")
    return rest
