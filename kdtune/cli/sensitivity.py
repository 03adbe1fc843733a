"""``kdtune sensitivity``: whether there is anything to tune."""

from pathlib import Path
from typing import Annotated

import typer

from kdtune.cli.options import Json
from kdtune.cli.output import make_console, print_json

HELP = (
    "Say from a recorded grid whether there is anything to tune: the value of every point with its interval, the share "
    "of the variance that is due to the searched values, and which points were needed. Nothing is trained."
)

EXAMPLES = """Examples:
\n\n    kdtune sensitivity results/digits-hkd
\n\n    kdtune sensitivity results/digits-hkd --json
"""


def sensitivity(
    folders: Annotated[
        list[Path], typer.Argument(metavar="DIR", help="Results folders of studies that ran the strategy grid.")
    ],
    json: Json = False,
) -> None:
    """Show the sensitivity to the searched values."""
    from kdtune.analysis.sensitivity import sensitivity as sensitivity_of
    from kdtune.report.sensitivity_table import sensitivity_table

    found = sensitivity_of(folders)
    console = make_console(to_stderr=json)
    for one in found:
        console.print(sensitivity_table(one))
    if json:
        print_json({"schema_version": 1, "sensitivities": [one.as_json() for one in found]})
