"""Records that carry their own checksum: a changed digit is noticed, and in a file of lines a missing line too.

Sealed lines name the checksum of the one before them, whoever wrote that.
"""

import json
import zlib
from collections.abc import Mapping
from typing import Any

#: In a with_checksum record: the checksum of all the rest.
CHECKSUM_KEY = "crc32"

#: In a with_checksum line: the seal of the line before it; None in the first one, and after a line without a seal.
PREVIOUS_CHECKSUM_KEY = "before"


def checksum(record: Mapping[str, Any]) -> int:
    """Of a record in the order of its keys."""
    return zlib.crc32(json.dumps(record, separators=(",", ":")).encode())


def with_checksum(record: Mapping[str, Any]) -> dict[str, Any]:
    """The record with its checksum."""
    return {**record, CHECKSUM_KEY: checksum(record)}


def verified(record: Mapping[str, Any]) -> dict[str, Any]:
    """The record without its checksum; one that was written before kdtune noted checksums is believed.

    Raises:
        ValueError: The checksum does not fit.
    """
    rest = {key: value for key, value in record.items() if key != CHECKSUM_KEY}
    if CHECKSUM_KEY in record and record[CHECKSUM_KEY] != checksum(rest):
        raise ValueError("its checksum does not fit: it was changed after it was written")
    return rest
