"""``kdtune clean``: list caches and remove them."""

import sys
from typing import Annotated

import typer

from kdtune.cli.output import make_console

HELP = (
    "Remove caches after listing them. They hold decoded data, teachers, their logits, compiled networks and others. "
    "All can be made again, which takes energy; a teacher from --teacher needs its file again."
)

EXAMPLES = """Examples:
\n\n    kdtune clean
\n\n    kdtune clean teacher-logits --yes
"""


def clean(
    kinds: Annotated[list[str] | None, typer.Argument(help="Kinds of cache; by default all.")] = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Remove without asking.")] = False,
) -> None:
    """Remove caches."""
    from kdtune.artifacts.caches import KINDS, cached, remove
    from kdtune.catalog.spelling import did_you_mean
    from kdtune.errors import UsageError
    from kdtune.report.number_formats import size
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
    entries = "1 entry" if len(found) == 1 else f"{len(found)} entries"
    total = f"{entries}, {size(sum(one.bytes for one in found))}"
    if not yes:
        if not sys.stdin.isatty():
            raise UsageError(f"nothing was removed ({total}): pass --yes, since standard input is not a terminal")
        if not typer.confirm(f"Remove {total}?"):
            console.print("Nothing was removed.")
            return
    busy = remove(found)
    for path in busy:
        console.print(f"not removed, because another kdtune process uses it: {path}", soft_wrap=True)
    console.print(f"Removed {len(found) - len(busy)}.")
