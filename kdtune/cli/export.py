"""``kdtune export``: results in the formats of other tools."""

from pathlib import Path
from typing import Annotated

import typer

from kdtune.cli.options import Country, Intensity, Preset, Pue, Region
from kdtune.cli.output import make_console

HELP = (
    "Write the results of one study for another tool: a Hugging Face model card, MLflow or TensorBoard runs, a LaTeX "
    "table, or CSV files. Nothing is trained."
)

EXAMPLES = """Examples:
\n\n    kdtune export results/digits-hkd --to model-card
\n\n    kdtune export results/digits-hkd/grid --to model-card -o card
\n\n    kdtune export results/digits-hkd --to tensorboard -o runs
"""


def export(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Results folder of a study, or of one strategy.")],
    to: Annotated[str, typer.Option("--to", help="The format: model-card, mlflow, tensorboard, latex or csv.")],
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="DIR", help="Folder for the files; by default 'export' in the study's."),
    ] = None,
    country: Country = None,
    region: Region = None,
    intensity: Intensity = None,
    pue: Pue = None,
    preset: Preset = None,
) -> None:
    """Export results."""
    from kdtune.analysis.find_results import find_results
    from kdtune.energy.carbon import carbon_changes
    from kdtune.errors import UsageError
    from kdtune.report.export.exports import export as write
    from kdtune.report.export.exports import export_format
    from kdtune.report.reported_study import read_study
    from kdtune.storage.paths import expanded

    carbon = carbon_changes(preset, country, region, intensity, pue)
    export_format(to)
    found = find_results(folder)
    studies = list(dict.fromkeys(one.study for one in found))
    if len(studies) > 1:
        names = ", ".join(study.path.name for study in studies)
        raise UsageError(f"{folder}: contains several studies ({names}); name one of them")
    target = expanded(output, "-o") if output else studies[0].path / "export" / to
    console = make_console(to_stderr=False)
    for path in write(read_study(studies[0], found, carbon), to, target):
        console.print(f"Written: {path}", soft_wrap=True)
