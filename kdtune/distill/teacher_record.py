"""What is known of a teacher in the cache; imports no torch, of which a driver has no other need."""

import json
from pathlib import Path
from typing import Any


def read_record(folder: Path) -> dict[str, Any] | None:
    """What is known of a teacher: its metrics on validation and test images; None if it is not trained yet.

    Of one that was given, ``given`` is the identity of its weights; else it is None.
    """
    path = folder / "record.json"
    record: dict[str, Any] | None = json.loads(path.read_text()) if path.exists() else None
    if record is None or not (record.get("given") or (folder / "teacher.pt").exists()):
        return None
    return record
