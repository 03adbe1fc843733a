"""``kdtune check``: check a study before energy is spent on it."""

from typing import Annotated

import typer

from kdtune.cli.options import DataDir, Json, Overrides, Teacher
from kdtune.cli.output import make_console, print_json

HELP = (
    "Load a study's data set and networks, take single training steps at the extreme temperatures, and report all "
    "faults at once. Nothing is trained."
)

EXAMPLES = """Examples:
\n\n    kdtune check digits-hkd
\n\n    kdtune check studies/mine.toml --set student=./nets.py:tiny
"""


def check(
    name: Annotated[str, typer.Argument(metavar="NAME|FILE", help="The study's name or file.", show_default=False)],
    data_dir: DataDir = None,
    teacher: Teacher = None,
    set_: Overrides = [],  # noqa: B006 - typer only reads it
    json: Json = False,
) -> None:
    """Check a study."""
    from kdtune.api import check_study
    from kdtune.report.check_table import as_json, check_table

    found = check_study(name, overrides=set_, data_dir=data_dir, teacher=teacher)
    console = make_console(to_stderr=json)
    console.print(check_table(found))
    if json:
        print_json(as_json(found))
    if found.faults:
        raise typer.Exit(2)
