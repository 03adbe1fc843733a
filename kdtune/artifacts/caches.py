"""Listing and removing cached items. All of them can be made again, which takes energy."""

import shutil
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from kdtune.artifacts.shared_code import SharedCode
from kdtune.artifacts.shared_logits import SharedLogits
from kdtune.artifacts.shared_synthesis import SharedSynthesis
from kdtune.artifacts.shared_teacher import SharedTeacher
from kdtune.errors import KdtuneError
from kdtune.storage.files import unused
from kdtune.storage.paths import cache_dir

#: Folders of the cache, one for each kind of item, with descriptions. Removing them loses no energy record, since
#: results contain copies. A teacher that a user gave has to be given again after it was removed.
KINDS = {
    "decoded": "data sets as arrays",
    **{artifact.kind: artifact.contents for artifact in (SharedTeacher, SharedSynthesis, SharedLogits, SharedCode)},
    "numerics": "which precision and memory layout is fastest here",
    "inspections": "sizes and measurements of studies from before they ran",
    "verified": "which data files passed their checks",
    "components": "functions and classes that programs passed",
}


@dataclass(frozen=True)
class Cached:
    """An item of the cache.

    Attributes:
        kind: A key of :data:`KINDS`.
        path: Its folder or file.
        bytes: Space that it takes on the disk.
        age_days: Days since its last change.
    """

    kind: str
    path: Path
    bytes: int
    age_days: float


def cached(kinds: Sequence[str] = ()) -> list[Cached]:
    """Return the items of the cache, the largest first.

    Args:
        kinds: Keys of :data:`KINDS`; all kinds if empty.
    """
    found = [
        _look(kind, path)
        for kind in kinds or KINDS
        for path in sorted((cache_dir() / kind).glob("*"))
        if not path.name.startswith(".")
    ]
    return sorted(found, key=lambda one: (-one.bytes, str(one.path)))


def _look(kind: str, path: Path) -> Cached:
    states = []
    for file in [path, *(() if path.is_symlink() else path.rglob("*"))]:
        with suppress(OSError):  # another process has just removed it, or another user owns it
            states.append(file.lstat())  # of a link itself, since its target is not part of the cache
    newest_s = max((state.st_mtime for state in states), default=0.0)
    return Cached(kind, path, sum(state.st_blocks * 512 for state in states), max(0.0, time.time() - newest_s) / 86400)


def remove(those: Sequence[Cached]) -> list[Path]:
    """Remove items of the cache, except those that a process is making or using.

    Returns:
        The items that were not removed because they are in use.

    Raises:
        KdtuneError: An item cannot be removed, or a folder of the cache is a symbolic link.
    """
    for kind in {one.path.parent for one in those}:
        if kind.is_symlink():
            raise KdtuneError(
                f"{kind}: is a symbolic link, and its target may not belong to kdtune; nothing was removed. "
                "Remove the link, or set KDTUNE_CACHE_DIR to a folder without links"
            )
    busy = []
    for one in those:
        try:
            if one.path.is_symlink() or not one.path.is_dir():
                one.path.unlink(missing_ok=True)
                continue
            with unused(one.path) as free:
                if free:
                    shutil.rmtree(one.path)
                else:
                    busy.append(one.path)
        except OSError as error:
            raise KdtuneError(f"{error.filename or one.path}: cannot be removed ({error.strerror})") from None
    return busy
