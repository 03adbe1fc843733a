"""``kdtune new``: write a study file for one's own networks and data."""

from pathlib import Path
from typing import Annotated

import typer

HELP = (
    "Write a commented study file. A data set or network is a name from 'kdtune list', package.module:NAME, "
    "./file.py:NAME, torchvision:NAME or folder:PATH."
)

EXAMPLES = """Examples:
\n\n    kdtune new photos --dataset folder:./photos --teacher torchvision:resnet50 --student torchvision:resnet18
\n\n    kdtune new mine --dataset ./data.py:cells --teacher ./nets.py:big --student ./nets.py:tiny
"""


def new(
    name: Annotated[str, typer.Argument(help="Name of the study.", show_default=False)],
    dataset: Annotated[str, typer.Option(help="The data set.", show_default=False)],
    teacher: Annotated[str, typer.Option(help="The teacher's network.", show_default=False)],
    student: Annotated[str, typer.Option(help="The student's network.", show_default=False)],
    loss: Annotated[str, typer.Option(help="The distillation loss.")] = "hkd",
    file: Annotated[
        Path | None, typer.Option(help="Where to write it; by default studies/NAME.toml.", show_default=False)
    ] = None,
) -> None:
    """Write a study file."""
    from kdtune.specs.new_study import write_study
    from kdtune.specs.study_components import find_components

    named = {"dataset": dataset, "teacher": teacher, "student": student, "loss": loss}
    references = find_components(named)
    path = file or Path("studies") / f"{name}.toml"
    write_study(path, name, references)
    typer.echo(f"Wrote {path}. Check it with: kdtune check {path}")
