"""References to components: names, ``package.module:attribute``, ``./file.py:attribute`` and ``scheme:name``."""

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

Form = Literal["name", "module", "file", "scheme"]

_MODULE = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*")
_ATTRIBUTE = _MODULE

#: Scheme, if any, path and attribute of a reference to a Python file.
_OF_FILE = re.compile(r"((?:\w+:)?)(.+\.py):([\w.]+)")

#: Scheme, if any, absolute path, and colon and attribute, if any.
_OF_PATH = re.compile(r"((?:\w+:)?)(/.+?)((?<=\.py):[\w.]+)?")


@dataclass(frozen=True)
class Reference:
    """A parsed reference.

    Attributes:
        text: The reference as the user wrote it.
        form: ``name`` for a built-in or an entry point; ``module`` for ``package.module:attribute``; ``file`` for
            ``path/to/file.py:attribute``; ``scheme`` for one of the catalog's schemes, such as ``torchvision:...``.
        place: The name, the module, the path as written, or the text after the scheme.
        attribute: The attribute of a module or file, dots included; for a scheme, the name of the scheme.
    """

    text: str
    form: Form
    place: str
    attribute: str = ""

    def path(self, base: Path) -> Path:
        """Return the absolute path that a reference names; a relative one refers to the folder ``base``."""
        return Path(os.path.abspath(base / Path(self.place).expanduser()))  # noqa: PTH100 - links are not followed


def parse_reference(text: str, schemes: "tuple[str, ...]" = ()) -> Reference:
    """Parse a reference.

    Args:
        text: The reference as the user wrote it.
        schemes: Schemes of the catalog, such as ``torchvision``.

    Raises:
        ValueError: The text has none of the forms; the message says what is missing.
    """
    place, colon, attribute = text.rpartition(":")
    if not colon:
        if text.endswith(".py") or "/" in text:
            raise ValueError(f"{text!r} names a file but no attribute of it; write {text}:NAME")
        return Reference(text, "name", text)
    scheme, _, rest = text.partition(":")
    if scheme in schemes:
        if not rest:
            raise ValueError(f"{text!r} has no name after {scheme}:")
        return Reference(text, "scheme", rest, scheme)
    if not _ATTRIBUTE.fullmatch(attribute):
        raise ValueError(f"{text!r} has no valid Python name after the colon")
    if place.endswith(".py"):
        return Reference(text, "file", place, attribute)
    if _MODULE.fullmatch(place):
        return Reference(text, "module", place, attribute)
    known = "".join(f", {one}:NAME" for one in schemes)
    raise ValueError(f"{text!r} is not a reference; write a name, package.module:NAME, ./file.py:NAME{known}")


def with_absolute_path(value: Any, base: Path) -> Any:
    """Return a reference to a Python file with the absolute path of the file; any other value is returned unchanged.

    Args:
        value: A value of a study.
        base: Folder to which relative paths refer.
    """
    found = _OF_FILE.fullmatch(value) if isinstance(value, str) else None
    if not found:
        return value
    scheme, place, attribute = found.groups()
    return f"{scheme}{Reference(value, 'file', place).path(base)}:{attribute}"


def moved_along(value: Any, before: Path, now: Path) -> Any:
    """Return a reference whose file or folder was moved together with another folder.

    Args:
        value: A value of a study, such as ``/old/nets.py:tiny`` or ``folder:/old/photos``.
        before: Where the other folder was, such as ``/old/results/mine``.
        now: Where the other folder is.

    Returns:
        The reference with the path that lies relative to ``now`` as the earlier one to ``before``, if there is
        something at that path; otherwise the value.
    """
    found = _OF_PATH.fullmatch(value) if isinstance(value, str) else None
    if not found:
        return value
    scheme, path, attribute = found.groups(default="")
    moved = os.path.normpath(now / os.path.relpath(path, before))
    return f"{scheme}{moved}{attribute}" if Path(moved).exists() else value
