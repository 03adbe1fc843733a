"""Escaping of texts from names, files and users for terminals, spreadsheets and Markdown."""

import re
import unicodedata
from typing import Any

#: First characters of formulas in common spreadsheets.
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")

#: Characters with a meaning in Markdown anywhere in a line, and their replacements.
_MARKDOWN = {character: f"\\{character}" for character in "\\|`"} | {"<": "&lt;"}

#: Start of the target of a link or a picture; brackets alone have no meaning.
_TARGET = re.compile(r"](?=[(\[:])")

#: Characters that change the direction of the following text, which can hide its real content.
_TURNING = {chr(code) for code in (*range(0x202A, 0x202F), *range(0x2066, 0x206A))}


def printable(text: str) -> str:
    """Return a text without control characters other than newlines, so that it cannot control a terminal."""
    if text.isprintable():
        return text
    return "".join(one for one in text if one == "\n" or not _steers(one))


def _steers(character: str) -> bool:
    return unicodedata.category(character) in ("Cc", "Cs") or character in _TURNING


def for_spreadsheet(value: Any) -> Any:
    """Return a value for a cell of a CSV file so that no spreadsheet treats it as a formula."""
    return f"'{value}" if isinstance(value, str) and value.startswith(_FORMULA) else value


def for_markdown(text: str) -> str:
    """Return a text as one line of Markdown in which no cell, code, link, picture or HTML begins."""
    escaped = "".join(_MARKDOWN.get(one, one) for one in " ".join(printable(text).splitlines()))
    return _TARGET.sub(r"\]", escaped)
