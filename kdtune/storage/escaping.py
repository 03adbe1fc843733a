"""Texts that came from names, files and other people, made safe for where they go."""

import re
import unicodedata
from typing import Any

#: Begin a formula, for one spreadsheet or another.
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")

#: Mean something in Markdown wherever they stand in a line.
_MARKDOWN = {character: f"\\{character}" for character in "\\|`"} | {"<": "&lt;"}

#: Where a link or a picture gets its target; brackets alone mean nothing.
_TARGET = re.compile(r"](?=[(\[:])")

#: Turn the direction of what follows, so that it reads otherwise than it is.
_TURNING = {chr(code) for code in (*range(0x202A, 0x202F), *range(0x2066, 0x206A))}


def printable(text: str) -> str:
    """A text without what would steer a terminal: escape sequences lose their beginning, and lines stay."""
    if text.isprintable():
        return text
    return "".join(one for one in text if one == "\n" or not _steers(one))


def _steers(character: str) -> bool:
    return unicodedata.category(character) in ("Cc", "Cs") or character in _TURNING


def for_spreadsheet(value: Any) -> Any:
    """A cell of a CSV file that no spreadsheet takes for a formula."""
    return f"'{value}" if isinstance(value, str) and value.startswith(_FORMULA) else value


def for_markdown(text: str) -> str:
    """A text that stands in one line of Markdown as it is: no cell, code, link, picture or HTML begins in it."""
    escaped = "".join(_MARKDOWN.get(one, one) for one in " ".join(printable(text).splitlines()))
    return _TARGET.sub(r"\]", escaped)
