"""Parts of Markdown files: code blocks, links, headings and tables."""

import re
import shlex
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").glob("*.md"))]

_FENCE = re.compile(r"^( *)```(\w*)\n(.*?)^\1```$", re.DOTALL | re.MULTILINE)
_LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)|^\[[^\]]+\]: (\S+)$", re.MULTILINE)


def blocks(page: Path, language: str) -> list[str]:
    """The code blocks of a language, without the indentation of a list; ``""`` for those that name none."""
    found = _FENCE.findall(page.read_text())
    return [re.sub(f"^{indent}", "", code, flags=re.MULTILINE) for indent, name, code in found if name == language]


def commands(page: Path) -> list[list[str]]:
    """The arguments of every ``kdtune`` command in a code block."""
    lines = [line.strip() for block in blocks(page, "") for line in block.replace("\\\n", " ").splitlines()]
    words = [shlex.split(line.removeprefix(".venv/bin/"), comments=True) for line in lines if "kdtune" in line]
    return [arguments for program, *arguments in filter(None, words) if program == "kdtune"]


def prose(page: Path) -> str:
    """The text without its code blocks."""
    return _FENCE.sub("", page.read_text())


def links(page: Path) -> list[str]:
    """The targets of all links and pictures."""
    return [inline or reference for inline, reference in _LINK.findall(prose(page))]


def anchors(page: Path) -> set[str]:
    """The anchors that GitHub gives to the headings."""
    seen: Counter[str] = Counter()
    found = set()
    for heading in re.findall(r"^#+ (.+)$", prose(page), re.MULTILINE):
        slug = re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")
        found.add(f"{slug}-{seen[slug]}" if seen[slug] else slug)
        seen[slug] += 1
    return found


def tables(page: Path) -> Iterator[tuple[str, str, list[list[str]]]]:
    """The heading above each table, the title of its first column, and its rows."""
    heading, rows = "", []
    for line in [*prose(page).splitlines(), ""]:
        if line.startswith("#"):
            heading = line.lstrip("# ")
        if line.startswith("|"):
            rows.append([cell.strip() for cell in line.strip("|").split(" |")])
        elif rows:
            yield heading, rows[0][0], rows[2:]
            rows = []


def first_column(page: Path, title: str, heading: str | None = None) -> list[str]:
    """The names in backticks in the first column of the tables with this title, below this heading."""
    return [
        name
        for above, column, rows in tables(page)
        if column == title and heading in (None, above)
        for row in rows
        for name in re.findall(r"`([^`]+)`", row[0])
    ]
