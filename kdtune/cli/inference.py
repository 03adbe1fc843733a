"""``kdtune inference``: energy per prediction, and when the student has repaid its cost."""

from pathlib import Path
from typing import Annotated

import typer

from kdtune.cli.option_groups import with_option_groups
from kdtune.cli.options import CarbonOptions, DataDir, Download, Json
from kdtune.cli.output import make_console, print_json

HELP = (
    "Measure the energy of teacher and student per prediction. Both classify the test images in turns; the table says "
    "after how many predictions the student has repaid what it was charged."
)

EXAMPLES = """Examples:
\n\n    kdtune inference results/digits-hkd
\n\n    kdtune inference results/digits-hkd/grid --batch-size 1 --seconds 30
\n\n    kdtune inference results/cifar100-hkd --device cpu --cpus 4 --country FRA --json
"""


@with_option_groups
def inference(
    folders: Annotated[
        list[Path], typer.Argument(metavar="DIR", help="Results folders of studies or of finished strategies.")
    ],
    *,
    batch_size: Annotated[int, typer.Option(help="Images per batch.")] = 128,
    seconds: Annotated[
        float, typer.Option(help="Least time per network, in whole passes over the test images.")
    ] = 10.0,
    cpus: Annotated[int | None, typer.Option(help="CPU threads; by default as many as in the trainings.")] = None,
    device: Annotated[
        str | None,
        typer.Option(help="'cpu' or 'cuda'; by default the study's device, which requires the same type of machine."),
    ] = None,
    data_dir: DataDir = None,
    download: Download = False,
    carbon: CarbonOptions,
    json: Json = False,
) -> None:
    """Measure inference."""
    from kdtune.analysis.inference_measurement import measure_inference
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
        carbon=carbon.changes(),
        tell=lambda text: console.print(text, soft_wrap=True),
    )
    console.print(inference_tables(documents))
    if json:
        print_json({"schema_version": 1, "inference": [document.as_json() for document in documents]})
