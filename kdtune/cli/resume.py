"""``kdtune resume``: continue a study that was stopped."""

from pathlib import Path
from typing import Annotated

import typer

from kdtune.cli.options import (
    AcceptTeacher,
    Address,
    DataDir,
    Download,
    InlineOrNot,
    Json,
    MaxCo2,
    MaxConcurrent,
    MaxKwh,
    Quiet,
    Teacher,
)
from kdtune.cli.output import make_console, show_outcome

HELP = "Continue a study that was stopped. Finished trials are not run again."

EXAMPLES = """Examples:
\n\n    kdtune resume results/digits-hkd
\n\n    kdtune resume results/digits-hkd/grid
\n\n    kdtune resume results/digits-hkd --max-kwh 0.002
"""


def resume(
    folder: Annotated[
        Path, typer.Argument(metavar="DIR", help="Results folder of the study, or of one of its strategies.")
    ],
    max_concurrent: MaxConcurrent = None,
    address: Address = None,
    inline: InlineOrNot = None,
    max_kwh: MaxKwh = None,
    max_co2: MaxCo2 = None,
    data_dir: DataDir = None,
    download: Download = False,
    teacher: Teacher = None,
    accept_teacher: AcceptTeacher = False,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Resume a study."""
    from kdtune.api import resume_study
    from kdtune.report.live_display import display

    console = make_console(to_stderr=json)
    result = resume_study(
        folder,
        max_concurrent=max_concurrent,
        address=address,
        inline=inline,
        data_dir=data_dir,
        download=download,
        teacher=teacher,
        accept_teacher=accept_teacher,
        max_kwh=max_kwh,
        max_co2_g=max_co2,
        watcher=display(make_console(to_stderr=True), quiet=quiet),
    )
    show_outcome(result, console, as_json=json)
