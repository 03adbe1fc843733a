"""Search for study and search-space files, first in the user's folder and then among those that kdtune ships."""

import os
from pathlib import Path
from typing import Any

from kdtune.catalog.spelling import did_you_mean
from kdtune.errors import Fault, SpecError, UsageError
from kdtune.storage.files import read_whole
from kdtune.storage.parsing import parse_toml
from kdtune.storage.paths import expanded, here

STUDIES = "studies"
SEARCH_SPACES = "search_spaces"

_NOUN = {STUDIES: "study", SEARCH_SPACES: "search space"}


def _shipped(folder: str) -> Path:
    """Return a folder that is shipped with the package: inside it in a wheel, beside it in a checkout."""
    package = Path(__file__).resolve().parents[1]
    in_wheel = package / "shipped" / folder
    return in_wheel if in_wheel.is_dir() else package.parent / folder


def search_path(folder: str) -> list[Path]:
    """Return the folders that are searched for a name; the first match is used."""
    return [here() / folder, _shipped(folder)]


def available(folder: str) -> dict[str, Path]:
    """Return all files that can be used by name; a user's file hides a shipped one of the same name."""
    found: dict[str, Path] = {}
    for place in reversed(search_path(folder)):
        found.update({file.stem: file for file in sorted(place.glob("*.toml"))})
    return dict(sorted(found.items()))


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:  # not a valid file name
        return False


def find(folder: str, name: str, where: str = "", key: str = "") -> Path:
    """Return the file that a name or a path refers to.

    Args:
        folder: :data:`STUDIES` or :data:`SEARCH_SPACES`.
        name: A bare name such as ``digits-hkd``, or a path to a TOML file.
        where: The file or flag that used the name, for the message.
        key: The key that used the name.

    Raises:
        SpecError: There is no such file.
    """
    noun = _NOUN[folder]
    if name.endswith(".toml") or "/" in name:
        try:
            path = expanded(name)
        except UsageError as error:
            raise SpecError([Fault(where, key, str(error))]) from None
        if "TUNE_ORIG_WORKING_DIR" in os.environ:
            path = here() / path
        if not _is_file(path):
            raise SpecError([Fault(where, key, f"there is no {noun} file {name}")])
        return path
    for place in search_path(folder):
        if _is_file(path := place / f"{name}.toml"):
            return path
    if _is_file(here() / name):
        raise SpecError([Fault(where, key, f"the name of a {noun} file ends in .toml, unlike {name}")])
    hint = did_you_mean(name, list(available(folder)))
    listing = "kdtune list " + ("studies" if folder == STUDIES else "spaces")
    raise SpecError([Fault(where, key, f"unknown {noun} {name!r}; {hint} ('{listing}' lists all of them)")])


def read_toml(path: Path) -> dict[str, Any]:
    """Parse a TOML file.

    Raises:
        SpecError: The file cannot be read or is not TOML; the message has the line and column.
    """
    try:
        return parse_toml(read_whole(path))
    except OSError as error:
        raise SpecError([Fault(str(path), "", f"cannot be read: {error}")]) from None
    except ValueError as error:
        raise SpecError([Fault(str(path), "", f"not valid TOML: {error}")]) from None
