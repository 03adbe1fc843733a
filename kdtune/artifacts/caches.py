"""What is kept between studies, and how to be rid of it: everything here can be made again, for energy."""

import shutil
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from kdtune.artifacts.shared_code import SharedCode
from kdtune.artifacts.shared_logits import SharedLogits
from kdtune.artifacts.shared_teacher import SharedTeacher
from kdtune.errors import KdtuneError
from kdtune.storage.files import unused
from kdtune.storage.paths import cache_dir

#: Kinds of cache, each a folder in the cache: what it holds, in words. Results have copies of all energy records.
#: A teacher that was given has to be given again once it is gone.
KINDS = {
    "decoded": "data sets as arrays",
    **{artifact.kind: artifact.contents for artifact in (SharedTeacher, SharedLogits, SharedCode)},
    "numerics": "which precision and memory layout is fastest here",
    "inspections": "what was found out about studies before they ran",
    "verified": "which data files were found sound",
}


@dataclass(frozen=True)
class Cached:
    """One thing that is kept.

    Attributes:
        kind: Of :data:`KINDS`.
        path: A folder or a file.
        bytes: On the disk.
        age_days: Since it was last changed.
    """

    kind: str
    path: Path
    bytes: int
    age_days: float


def cached(kinds: Sequence[str] = ()) -> list[Cached]:
    """What is kept, the largest first.

    Args:
        kinds: Of :data:`KINDS`; all of them where none is named.
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
        with suppress(OSError):  # another process removed it just now, or it is somebody else's
            states.append(file.lstat())  # of a link itself: what it leads to is not the cache's
    newest_s = max((state.st_mtime for state in states), default=0.0)
    return Cached(kind, path, sum(state.st_blocks * 512 for state in states), max(0.0, time.time() - newest_s) / 86400)


def remove(those: Sequence[Cached]) -> list[Path]:
    """Remove what nobody is making or using at the moment.

    Returns:
        What was left alone, since another process is at work on it.

    Raises:
        KdtuneError: Something cannot be removed, or lies behind a link that leads out of the cache.
    """
    for kind in {one.path.parent for one in those}:
        if kind.is_symlink():
            raise KdtuneError(
                f"{kind}: is a symbolic link, and what it leads to may not be kdtune's; nothing was removed. "
                "Remove the link, or set KDTUNE_CACHE_DIR to a folder that holds none"
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
