"""``kdtune clean``: remove caches, shown before they go."""

import sys
from typing import Annotated

import typer

from kdtune.cli.output import make_console

HELP = (
    "Remove caches: decoded data, teachers, their logits, compiled networks. They are shown first, and can be made "
    "again, for energy; a teacher that was given has to be given again."
)

EXAMPLES = """Examples:
\n\n    kdtune clean
\n\n    kdtune clean teacher-logits --yes
"""


def clean(
    kinds: Annotated[list[str] | None, typer.Argument(help="Which caches; all of them by default.")] = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
) -> None:
    """Remove caches."""
    from kdtune.artifacts.caches import KINDS, cached, remove
    from kdtune.catalog.registry import did_you_mean
    from kdtune.errors import UsageError
    from kdtune.report.formats import size
    from kdtune.storage.paths import cache_dir

    for kind in kinds or ():
        if kind not in KINDS:
            raise UsageError(f"kdtune clean: unknown cache {kind!r}; {did_you_mean(kind, list(KINDS))}")
    console = make_console(to_stderr=False)
    found = cached(kinds or ())
    if not found:
        console.print(f"Nothing is cached in {cache_dir()}.")
        return
    for one in found:
        console.print(f"{size(one.bytes):>9}  {one.path}", soft_wrap=True)
    total = f"{len(found)} of them, {size(sum(one.bytes for one in found))}"
    if not yes:
        if not sys.stdin.isatty():
            raise UsageError(f"nothing was removed ({total}): give --yes, since there is nobody to ask")
        if not typer.confirm(f"Remove all {total}?"):
            console.print("Nothing was removed.")
            return
    busy = remove(found)
    for path in busy:
        console.print(f"left alone, since another kdtune is at work on it: {path}", soft_wrap=True)
    console.print(f"Removed {len(found) - len(busy)}.")
