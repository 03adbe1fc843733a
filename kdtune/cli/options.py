"""Options that several commands have."""

from pathlib import Path
from typing import Annotated

import typer

Country = Annotated[str | None, typer.Option(help="Whose electricity: a three-letter ISO code.")]
Region = Annotated[str | None, typer.Option(help="State or province in it.")]
Intensity = Annotated[float | None, typer.Option(help="Grams of CO2 a kWh, instead of a country.")]
Pue = Annotated[float | None, typer.Option(help="Power usage effectiveness of the building.")]
Preset = Annotated[str | None, typer.Option(help="'paper': PUE 1.67 and 294.2 g/kWh.")]
Address = Annotated[str | None, typer.Option(help="Of a running Ray cluster, such as 'auto'.")]
Inline = Annotated[
    bool,
    typer.Option(
        "--inline",
        help="Run in this process, without Ray: one trial at a time, metered the same; sooner over for small studies.",
    ),
]
InlineOrNot = Annotated[
    bool | None,
    typer.Option(
        "--inline/--no-inline", help="In this process without Ray, or through Ray; as it was begun, unless given."
    ),
]
MaxKwh = Annotated[
    float | None, typer.Option(help="Stop when so many kWh are charged, teacher, start-up and PUE included.")
]
MaxCo2 = Annotated[float | None, typer.Option("--max-co2", help="Stop when so many grams of CO2 are charged.")]
MaxConcurrent = Annotated[
    int | None,
    typer.Option(min=1, help="Trials at a time at most; without it as many as the cores and GPUs hold."),
]
DataDir = Annotated[
    Path | None, typer.Option(help="Folder with the data sets, as torchvision keeps them; KDTUNE_DATA_DIR without it.")
]
Download = Annotated[bool, typer.Option("--download", help="Fetch the data set where it is missing or damaged.")]
Teacher = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        help="Weights of the study's teacher (a state dict, a checkpoint with one, or safetensors); it is not trained.",
    ),
]
AcceptTeacher = Annotated[
    bool,
    typer.Option("--accept-teacher", help="Distil from a teacher that was given though its accuracy is at chance."),
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document; the rest goes to stderr.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress.")]
