"""``kdtune report``: results as one HTML page."""

from pathlib import Path
from typing import Annotated

import typer

from kdtune.cli.option_groups import with_option_groups
from kdtune.cli.options import CarbonOptions, DataDir
from kdtune.cli.output import make_console

HELP = (
    "Write results as one HTML page: verdict, figures, and every trial in a sortable table. The page needs no network "
    "and no other files. Nothing is trained."
)

EXAMPLES = """Examples:
\n\n    kdtune report results/digits-hkd
\n\n    kdtune report -o all.html
\n\n    kdtune report results/digits-hkd results/digits-cmc -o two.html --country FRA
\n\n    kdtune report results/digits-hkd --paper
"""


@with_option_groups
def report(
    folders: Annotated[
        list[Path] | None, typer.Argument(metavar="[DIR ...]", help="Results folders; by default all in ./results.")
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            metavar="FILE",
            help="The page; by default report.html in the folder of a single study.",
        ),
    ] = None,
    paper: Annotated[
        bool,
        typer.Option("--paper", help="Add the paper's figures, for which kept models run on the test images."),
    ] = False,
    data_dir: DataDir = None,
    *,
    carbon: CarbonOptions,
) -> None:
    """Write a report."""
    from kdtune.analysis.find_results import DEFAULT_PLACE, find_results
    from kdtune.report.html.page import REPORT, write_report
    from kdtune.storage.paths import expanded

    changes = carbon.changes()
    found = find_results(folders or DEFAULT_PLACE)
    studies = list(dict.fromkeys(folder.path.parent for folder in found))
    usual = studies[0] / REPORT if len(studies) == 1 else Path(REPORT)
    file = expanded(output, "-o") if output else usual
    write_report([folder.path for folder in found], file, changes, paper=paper, data_dir=data_dir)
    make_console(to_stderr=False).print(f"Report: {file}", soft_wrap=True)
