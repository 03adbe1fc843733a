"""``kdtune claims``: the paper's claims, tested with the available results."""

from pathlib import Path
from typing import Annotated

import typer

from kdtune.cli.options import Json
from kdtune.cli.output import make_console, print_json

HELP = (
    "Test the paper's claims with your results. Each claim gets a verdict from every study that tests it. Nothing is "
    "trained."
)

EXAMPLES = """Examples:
\n\n    kdtune claims
\n\n    kdtune claims results/digits-hkd results/digits-cmc
\n\n    kdtune claims --why
\n\n    kdtune claims --json
"""


def claims(
    folders: Annotated[
        list[Path] | None, typer.Argument(metavar="[DIR ...]", help="Results folders; by default all in ./results.")
    ] = None,
    why: Annotated[
        bool, typer.Option("--why", help="Print source, rule, settings and figures of each comparison.")
    ] = False,
    json: Json = False,
) -> None:
    """Test the paper's claims with results."""
    from kdtune.paper.claims import claims_as_json, judge_claims
    from kdtune.report.claim_lines import claim_lines
    from kdtune.report.claims_table import claims_table

    judged = judge_claims(folders)
    if json:
        print_json(claims_as_json(judged))
        return
    console = make_console(to_stderr=False)
    if not why:
        console.print(claims_table(judged))
        return
    for line in claim_lines(judged):
        console.print(line, soft_wrap=True)
