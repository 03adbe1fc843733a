"""``kdtune recommend``: advice from the results of a study."""

from pathlib import Path
from typing import Annotated

import typer

from kdtune.cli.options import Json
from kdtune.cli.output import make_console, print_json

HELP = (
    "Say what to do after a study: search for a temperature, train once, or train without a teacher; and what is "
    "missing for an answer. Nothing is trained."
)

EXAMPLES = """Examples:
\n\n    kdtune recommend results/digits-controls
\n\n    kdtune recommend results/digits-controls --json
"""


def recommend(
    folders: Annotated[
        list[Path] | None, typer.Argument(metavar="[DIR ...]", help="Results folders; by default all in ./results.")
    ] = None,
    json: Json = False,
) -> None:
    """Give advice from results."""
    from rich.text import Text

    from kdtune.analysis.find_results import DEFAULT_PLACE
    from kdtune.analysis.recommendation import recommend as recommendations_of
    from kdtune.report.recommendation_text import missing_lines, recommendation_text

    found = recommendations_of(folders or DEFAULT_PLACE)
    console = make_console(to_stderr=json)
    for place, one in enumerate(found):
        if place:
            console.print()
        console.print(recommendation_text(one), soft_wrap=True)
        for line in missing_lines(one):
            console.print(Text(line, style="dim"), soft_wrap=True)
    if json:
        records = [{**one.as_json(), "text": recommendation_text(one)} for one in found]
        print_json({"schema_version": 1, "recommendations": records})
