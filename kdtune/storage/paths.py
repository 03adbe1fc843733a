"""Where kdtune keeps what outlives a study, and where it looks for data sets."""

import fcntl
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path

from kdtune.errors import UsageError
from kdtune.storage.files import CACHE_REMEDY, lock_file


def here() -> Path:
    """The folder that relative paths start from: Ray Tune moves each trial's worker away from the user's folder."""
    return Path(os.environ.get("TUNE_ORIG_WORKING_DIR") or Path.cwd())


def cache_dir() -> Path:
    """Returns ``$KDTUNE_CACHE_DIR``, by default ``~/.cache/kdtune``: teachers and decoded data sets.

    Raises:
        UsageError: There is no home folder, and the variable is not set.
    """
    named = os.environ.get("KDTUNE_CACHE_DIR")
    if named:
        return here() / expanded(named, "KDTUNE_CACHE_DIR")
    try:
        return Path.home() / ".cache" / "kdtune"
    except RuntimeError:
        raise UsageError(
            "there is no home folder here (HOME is not set, and this user has no entry in the password file), so "
            "kdtune does not know where to keep teachers and decoded data; set KDTUNE_CACHE_DIR to a folder"
        ) from None


def can_be_made(folder: Path) -> bool:
    """Returns whether this process may write to a folder, or may create it where it is missing."""
    existing = next(path for path in (folder, *folder.parents) if path.exists())
    return existing.is_dir() and os.access(existing, os.W_OK | os.X_OK)


def expanded(given: str | Path, named_by: str = "") -> Path:
    """A path that a user gave, with ``~`` and ``~user`` replaced by the home folders that they stand for.

    Every path from an option, a variable, a study file or the Python API passes through here.

    Args:
        given: As the user wrote it.
        named_by: The option or variable that named it, for the message.

    Raises:
        UsageError: There is no such user.
    """
    try:
        return Path(given).expanduser()
    except RuntimeError:
        raise UsageError(f"{named_by} {given}: there is no user of that name here".lstrip()) from None


def require_cache() -> None:
    """Make sure that the cache can be written, before anything is spent.

    Raises:
        UsageError: It cannot, or has no file locks; names the folder and the remedy.
    """
    folder = cache_dir()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=folder) as file:
            lock_file(file.fileno(), fcntl.LOCK_EX, Path(file.name), CACHE_REMEDY)
    except OSError as error:
        raise UsageError(
            f"{folder}: the cache cannot be written ({error.strerror or error}); set KDTUNE_CACHE_DIR to a folder "
            "that can be"
        ) from None


@dataclass(frozen=True)
class DataDir:
    """The folder in which data sets lie as torchvision puts them, and who named it.

    Attributes:
        path: Absolute; need not exist.
        named_by: For messages, such as ``--data-dir``.
        remedy: What names another one.
    """

    path: Path
    named_by: str
    remedy: str = "--data-dir DIR or KDTUNE_DATA_DIR"

    def __str__(self) -> str:
        return f"{self.path} ({self.named_by})"


def data_dir(given: str | Path | None = None, named_by: str = "--data-dir") -> DataDir:
    """The folder with the data sets: the one given, else ``$KDTUNE_DATA_DIR``, else ``~/.cache/kdtune/data``.

    Args:
        given: Named explicitly; None where it was not.
        named_by: Who gave it, for messages.
    """
    if given is not None:
        return DataDir(here() / expanded(given, named_by), named_by)
    if named := os.environ.get("KDTUNE_DATA_DIR"):
        return DataDir(here() / expanded(named, "KDTUNE_DATA_DIR"), "KDTUNE_DATA_DIR")
    return DataDir(default_data_dir(), "the default place")


def default_data_dir() -> Path:
    """Returns ``~/.cache/kdtune/data``, or a folder in the cache where there is no home folder."""
    try:
        return Path.home() / ".cache" / "kdtune" / "data"
    except RuntimeError:
        return cache_dir() / "data"


def noted_data_dir(given: str | Path | None, noted: str | None, noted_in: Path) -> DataDir:
    """As :func:`data_dir`, but where none is given the folder that a study noted when it began, if it did.

    Args:
        given: Named explicitly; None where it was not.
        noted: The study's folder.
        noted_in: The file that says so, for messages.
    """
    if given is not None or not noted:
        return data_dir(given)
    told = f"noted in {noted_in} when the study began; it may have moved"
    return DataDir(Path(noted), told, remedy="--data-dir DIR")
