"""Options that several commands share."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from kdtune.energy.carbon import Carbon

Country = Annotated[str | None, typer.Option(help="Country whose electricity is used, as a three-letter ISO code.")]
Region = Annotated[str | None, typer.Option(help="State or province in the country.")]
Intensity = Annotated[
    float | None, typer.Option(help="Carbon intensity in grams of CO2 per kWh, instead of a country.")
]
Pue = Annotated[float | None, typer.Option(help="Power usage effectiveness (PUE) of the building.")]
Preset = Annotated[str | None, typer.Option(help="Named setting; 'paper' is PUE 1.67 and 294.2 g/kWh.")]
Address = Annotated[str | None, typer.Option(help="Address of a running Ray cluster to join, such as 'auto'.")]
Inline = Annotated[
    bool,
    typer.Option("--inline", help="Run in this process without Ray, one trial at a time; metered the same."),
]
InlineOrNot = Annotated[
    bool | None,
    typer.Option("--inline/--no-inline", help="Run in this process, or through Ray; by default as the study began."),
]
MaxKwh = Annotated[
    float | None, typer.Option(help="Stop when this many kWh are charged, including teacher, start-up and PUE.")
]
MaxCo2 = Annotated[float | None, typer.Option("--max-co2", help="Stop when this many grams of CO2 are charged.")]
MaxConcurrent = Annotated[
    int | None,
    typer.Option(min=1, help="Greatest number of simultaneous trials; by default as many as cores and GPUs allow."),
]
DataDir = Annotated[
    Path | None,
    typer.Option(help="Folder with the data sets in torchvision's layout; by default $KDTUNE_DATA_DIR."),
]
Download = Annotated[bool, typer.Option("--download", help="Download the data set if it is missing or damaged.")]
Teacher = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        help="Weights of the study's teacher, which is then not trained: a state dict, a checkpoint or safetensors.",
    ),
]
AcceptTeacher = Annotated[
    bool,
    typer.Option(
        "--accept-teacher", help="Use the teacher of --teacher even if its accuracy is no better than chance."
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document; everything else goes to standard error.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Show no progress.")]
NoReport = Annotated[
    bool, typer.Option("--no-report", help="Write no report.html; 'kdtune report' writes it at any time.")
]
Overrides = Annotated[
    list[str], typer.Option("--set", metavar="KEY=VALUE", help="Change a key of the study; may be repeated.")
]


@dataclass(frozen=True)
class CarbonOptions:
    """How energy is converted to CO2."""

    country: Country = None
    region: Region = None
    intensity: Intensity = None
    pue: Pue = None
    preset: Preset = None

    @property
    def _arguments(self) -> tuple[Any, ...]:
        return self.preset, self.country, self.region, self.intensity, self.pue

    def carbon(self) -> "Carbon":
        """Return the factors of a new study."""
        from kdtune.energy.carbon import resolve_carbon

        return resolve_carbon(*self._arguments)

    def changes(self) -> "Callable[[Carbon], Carbon]":
        """Return a function that replaces some of the factors that a strategy was run with."""
        from kdtune.energy.carbon import carbon_changes

        return carbon_changes(*self._arguments)


@dataclass(frozen=True)
class ExecutionOptions:
    """Where and within which limits a study is run or resumed."""

    max_concurrent: MaxConcurrent = None
    address: Address = None
    data_dir: DataDir = None
    download: Download = False
    teacher: Teacher = None
    max_kwh: MaxKwh = None
    max_co2: MaxCo2 = None

    def as_arguments(self) -> dict[str, Any]:
        """Return the options as arguments of the functions of :mod:`kdtune.api`."""
        arguments = dict(vars(self))
        arguments["max_co2_g"] = arguments.pop("max_co2")
        return arguments
