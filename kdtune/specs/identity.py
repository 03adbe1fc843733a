"""Digests that identify JSON values."""

import hashlib
import json
from typing import Any

from pydantic import SerializationInfo

#: Context of ``model_dump`` that leaves out what results do not depend on, such as the folders in which files lie.
AS_IDENTITY = {"as": "identity"}


def is_identity(info: SerializationInfo) -> bool:
    """Return whether a model is dumped with :data:`AS_IDENTITY`."""
    return info.context == AS_IDENTITY


def digest(value: Any) -> str:
    """Return the SHA-256 of a JSON value in hexadecimal digits. The order of keys does not matter."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()
