"""Paths of the cache and of the data sets."""

import fcntl
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path

from kdtune.errors import UsageError
from kdtune.storage.files import CACHE_REMEDY, lock_file

#: Environment variable that names the cache.
CACHE_VARIABLE = "KDTUNE_CACHE_DIR"


def here() -> Path:
    """Return the folder that relative paths refer to. Ray Tune changes the working folder of each trial's worker."""
    return Path(os.environ.get("TUNE_ORIG_WORKING_DIR") or Path.cwd())


def cache_dir() -> Path:
    """Return ``$KDTUNE_CACHE_DIR``, by default ``~/.cache/kdtune``, which contains teachers and decoded data sets.

    Raises:
        UsageError: There is no home folder, and the variable is not set.
    """
    named = os.environ.get(CACHE_VARIABLE)
    if named:
        return here() / expanded(named, CACHE_VARIABLE)
    try:
        return Path.home() / ".cache" / "kdtune"
    except RuntimeError:
        raise UsageError(
            "there is no home folder (HOME is not set, and this user has no entry in the password file), so "
            "kdtune does not know where to keep teachers and decoded data; set KDTUNE_CACHE_DIR to a folder"
        ) from None


def can_be_made(folder: Path) -> bool:
    """Return whether this process may write to a folder, or may create it if it does not exist."""
    existing = next(path for path in (folder, *folder.parents) if path.exists())
    return existing.is_dir() and os.access(existing, os.W_OK | os.X_OK)


def expanded(given: str | Path, named_by: str = "") -> Path:
    """Return a path from the user in which ``~`` and ``~user`` are replaced by home folders.

    Every path from an option, a variable, a study file or the Python API passes through this function.

    Args:
        given: The path as the user wrote it.
        named_by: The option or variable that contains it, for messages.

    Raises:
        UsageError: The user does not exist, or it is no path.
    """
    if not isinstance(given, str | os.PathLike):
        raise UsageError(f"{named_by} {given!r}: has to be a path".lstrip())
    try:
        return Path(given).expanduser()
    except RuntimeError:
        raise UsageError(f"{named_by} {given}: there is no such user on this machine".lstrip()) from None


def require_cache() -> None:
    """Check that the cache can be written to, before any energy is used.

    Raises:
        UsageError: It cannot be written to or has no file locks; the message names the folder and the remedy.
    """
    folder = cache_dir()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=folder) as file:
            lock_file(file.fileno(), fcntl.LOCK_EX, Path(file.name), CACHE_REMEDY)
    except OSError as error:
        raise UsageError(
            f"{folder}: the cache cannot be written ({error.strerror or error}); set KDTUNE_CACHE_DIR to a writable "
            "folder"
        ) from None


@dataclass(frozen=True)
class DataDir:
    """The folder with data sets in torchvision's layout, and the option or variable that names it.

    Attributes:
        path: Absolute path; the folder need not exist.
        named_by: What named the folder, such as ``--data-dir``, for messages.
        remedy: How the user can name another folder.
    """

    path: Path
    named_by: str
    remedy: str = "--data-dir DIR or KDTUNE_DATA_DIR"

    def __str__(self) -> str:
        return f"{self.path} ({self.named_by})"


def data_dir(given: str | Path | None = None, named_by: str = "--data-dir") -> DataDir:
    """Return the folder with the data sets: the given one, else ``$KDTUNE_DATA_DIR``, else ``~/.cache/kdtune/data``.

    Args:
        given: The folder that the user named; None without one.
        named_by: The option that names it, for messages.
    """
    if given is not None:
        return DataDir(here() / expanded(given, named_by), named_by)
    if named := os.environ.get("KDTUNE_DATA_DIR"):
        return DataDir(here() / expanded(named, "KDTUNE_DATA_DIR"), "KDTUNE_DATA_DIR")
    return DataDir(default_data_dir(), "the default folder")


def default_data_dir() -> Path:
    """Return ``~/.cache/kdtune/data``, or a folder in the cache if there is no home folder."""
    try:
        return Path.home() / ".cache" / "kdtune" / "data"
    except RuntimeError:
        return cache_dir() / "data"


def noted_data_dir(given: str | Path | None, noted: str | None, noted_in: Path) -> DataDir:
    """Return the folder with the data sets, which defaults to the one that a study noted when it began.

    Args:
        given: The folder that the user named; None without one.
        noted: The folder that the study noted; None without one.
        noted_in: The file that contains the note, for messages.
    """
    if given is not None or not noted:
        return data_dir(given)
    origin = f"noted in {noted_in} when the study began; it may have moved"
    return DataDir(Path(noted), origin, remedy="--data-dir DIR")
