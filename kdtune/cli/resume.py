"""``kdtune resume``: continue a study that was stopped."""

from pathlib import Path
from typing import Annotated

import typer

from kdtune.cli.option_groups import with_option_groups
from kdtune.cli.options import AcceptTeacher, ExecutionOptions, InlineOrNot, Json, NoReport, Quiet
from kdtune.cli.output import make_console, show_outcome

HELP = "Continue a study that was stopped. Finished trials are not run again."

EXAMPLES = """Examples:
\n\n    kdtune resume results/digits-hkd
\n\n    kdtune resume results/digits-hkd/grid
\n\n    kdtune resume results/digits-hkd --max-kwh 0.002
"""


@with_option_groups
def resume(
    folder: Annotated[
        Path, typer.Argument(metavar="DIR", help="Results folder of the study, or of one of its strategies.")
    ],
    run: ExecutionOptions,
    inline: InlineOrNot = None,
    accept_teacher: AcceptTeacher = False,
    json: Json = False,
    quiet: Quiet = False,
    no_report: NoReport = False,
) -> None:
    """Resume a study."""
    from kdtune.api import resume_study
    from kdtune.report.live_display import display

    console = make_console(to_stderr=json)
    watcher = display(make_console(to_stderr=True), quiet=quiet)
    result = resume_study(folder, **run.as_arguments(), inline=inline, accept_teacher=accept_teacher, watcher=watcher)
    show_outcome(result, console, as_json=json, with_report=not no_report)
