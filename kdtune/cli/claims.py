"""``kdtune claims``: what the paper says, and what the results at hand say of it."""

from pathlib import Path
from typing import Annotated

import typer

from kdtune.cli.options import Json
from kdtune.cli.output import make_console, print_json

HELP = "List the paper's claims, each with the verdict of every study here that tests it. Runs nothing."

EXAMPLES = """Examples:
\n\n    kdtune claims
\n\n    kdtune claims results/digits-hkd results/digits-cmc
\n\n    kdtune claims --json
"""


def claims(
    folders: Annotated[
        list[Path] | None, typer.Argument(metavar="[DIR ...]", help="Results folders; all of ./results by default.")
    ] = None,
    json: Json = False,
) -> None:
    """Hold the paper's claims against results."""
    from kdtune.paper.claims import claims_as_json, judge_claims
    from kdtune.report.claim_lines import claim_lines

    judged = judge_claims(folders)
    if json:
        print_json(claims_as_json(judged))
        return
    console = make_console(to_stderr=False)
    for line in claim_lines(judged):
        console.print(line, soft_wrap=True)
