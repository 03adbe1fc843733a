"""``kdtune figures``: the figures of a report as files."""

from pathlib import Path
from typing import Annotated

import typer

from kdtune.cli.option_groups import with_option_groups
from kdtune.cli.options import CarbonOptions, DataDir
from kdtune.cli.output import make_console

HELP = (
    "Write the figures of results as SVG, PNG or PDF files: those of the report and the paper's. Kept models run on "
    "the test images for some of them. Nothing is trained."
)

EXAMPLES = """Examples:
\n\n    kdtune figures results/digits-hkd -o figures
\n\n    kdtune figures results/digits-hkd -o figures --format pdf --preset paper
"""


@with_option_groups
def figures(
    folders: Annotated[
        list[Path] | None, typer.Argument(metavar="[DIR ...]", help="Results folders; by default all in ./results.")
    ] = None,
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="FOLDER", help="Folder for the files, one in it for each study.")
    ] = Path("figures"),
    form: Annotated[str, typer.Option("--format", help="svg, png or pdf.")] = "svg",
    data_dir: DataDir = None,
    *,
    carbon: CarbonOptions,
) -> None:
    """Write figures."""
    from kdtune.analysis.find_results import DEFAULT_PLACE
    from kdtune.report.html.figure_files import file_format
    from kdtune.report.html.page import write_study_figures
    from kdtune.storage.paths import expanded

    known, target = file_format(form), expanded(output, "-o")
    console = make_console(to_stderr=False)
    for written in write_study_figures(folders or DEFAULT_PLACE, target, known, carbon.changes(), data_dir):
        for line in written.missing:
            console.print(line, soft_wrap=True, markup=False)
        for path in written.files:
            console.print(f"Written: {path}", soft_wrap=True, markup=False)
