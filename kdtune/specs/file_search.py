"""Where study and search-space files are found: the user's folder first, then what kdtune ships."""

import os
from pathlib import Path

from kdtune.catalog.spelling import did_you_mean
from kdtune.errors import Fault, SpecError, UsageError
from kdtune.storage.paths import expanded, here

STUDIES = "studies"
SEARCH_SPACES = "search_spaces"

_NOUN = {STUDIES: "study", SEARCH_SPACES: "search space"}


def _shipped(folder: str) -> Path:
    """The folder that travels with the package: inside it in a wheel, beside it in a checkout."""
    package = Path(__file__).resolve().parents[1]
    in_wheel = package / "shipped" / folder
    return in_wheel if in_wheel.is_dir() else package.parent / folder


def search_path(folder: str) -> list[Path]:
    """The folders that are searched for names, the first match winning."""
    return [here() / folder, _shipped(folder)]


def available(folder: str) -> dict[str, Path]:
    """Every file that can be named, by name, the user's own hiding the shipped ones."""
    found: dict[str, Path] = {}
    for place in reversed(search_path(folder)):
        found.update({file.stem: file for file in sorted(place.glob("*.toml"))})
    return dict(sorted(found.items()))


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:  # no name that a file can have
        return False


def find(folder: str, name: str, where: str = "", key: str = "") -> Path:
    """The file that a name or a path stands for.

    Args:
        folder: :data:`STUDIES` or :data:`SEARCH_SPACES`.
        name: A bare name such as ``digits-hkd``, or a path to a TOML file.
        where: The file or flag that used the name, for the message.
        key: The key that used it.

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
    hint = did_you_mean(name, list(available(folder)))
    listing = "kdtune list " + ("studies" if folder == STUDIES else "spaces")
    raise SpecError([Fault(where, key, f"unknown {noun} {name!r}; {hint} ('{listing}' shows them all)")])
