"""``kdtune inference``: what the student takes in use, and when it has repaid its search."""

from pathlib import Path
from typing import Annotated

import typer

from kdtune.cli.options import Country, DataDir, Download, Intensity, Json, Preset, Pue, Region
from kdtune.cli.output import make_console, print_json

HELP = (
    "Measure what teacher and student take for the test images, and after how many predictions the student has repaid "
    "what it was charged."
)

EXAMPLES = """Examples:
\n\n    kdtune inference results/digits-hkd
\n\n    kdtune inference results/digits-hkd/grid --batch-size 1 --seconds 30
\n\n    kdtune inference results/cifar100-hkd --device cpu --cpus 4 --country FRA --json
"""


def inference(
    folders: Annotated[list[Path], typer.Argument(metavar="DIR", help="Folders of finished strategies or of studies.")],
    batch_size: Annotated[int, typer.Option(help="Images at a time.")] = 128,
    seconds: Annotated[float, typer.Option(help="That each network runs at least, in whole passes.")] = 10.0,
    cpus: Annotated[int | None, typer.Option(help="CPU threads; as many as the trainings had without it.")] = None,
    device: Annotated[
        str | None,
        typer.Option(help="'cpu' or 'cuda'; without it the study's, and only on such a machine as the study ran on."),
    ] = None,
    data_dir: DataDir = None,
    download: Download = False,
    country: Country = None,
    region: Region = None,
    intensity: Intensity = None,
    pue: Pue = None,
    preset: Preset = None,
    json: Json = False,
) -> None:
    """Measure inference."""
    from kdtune.analysis.inference_measurement import measure_inference
    from kdtune.energy.carbon import changing
    from kdtune.report.inference_table import inference_tables

    console = make_console(to_stderr=json)
    documents = measure_inference(
        folders,
        batch_size=batch_size,
        seconds=seconds,
        cpus=cpus,
        device=device,
        data_dir=data_dir,
        download=download,
        carbon=changing(preset, country, region, intensity, pue),
        tell=lambda text: console.print(text, soft_wrap=True),
    )
    console.print(inference_tables(documents))
    if json:
        print_json({"schema_version": 1, "inference": [document.as_json() for document in documents]})
