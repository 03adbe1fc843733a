"""What the documents of a results folder have to hold, so that a damaged one is told and not stumbled over."""

from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from kdtune.energy.attribution import FLAGS
from kdtune.energy.sensors.node import QUALITIES, Quality
from kdtune.errors import ResultsError
from kdtune.storage.checksums import unsealed
from kdtune.storage.files import read_whole
from kdtune.storage.parsing import parse_json, parse_toml

#: What to do about a document that is made again from other files.
MADE_AGAIN = "delete it, it is made again from the other files"

#: What to do about what was written once, while a strategy ran, and is made by nothing else.
REMEDY = "put a copy of it in its place, or run the strategy again with 'kdtune study' and --fresh"

Bucket = Literal["trials", "evaluation", "orchestration", "idle", "other"]
Flag = Annotated[str, Field(pattern=f"^({'|'.join(FLAGS)})$")]
Source = Annotated[str, Field(pattern=f"_({'|'.join(QUALITIES)})$")]
Count = Annotated[int, Field(ge=0, lt=2**63)]
Accuracy = Annotated[float, Field(ge=0, le=1)]
Loss = Annotated[float, Field(ge=-1e308, le=1e308)]
Amount = Annotated[float, Field(ge=0, le=1e30)]

#: What names a file or a folder: nothing that leads out of where it lies.
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,254}$")]


class Shape(BaseModel):
    """What is relied on; whatever else stands there is let through."""

    model_config = ConfigDict(strict=True, allow_inf_nan=False)


class Summary(Shape):
    """An input that strategies share: see :func:`kdtune.results.shared_costs.ledger_summary`."""

    energy_uj: dict[Bucket | Literal["node_total"], Count] = Field(min_length=6)
    sources_uj: dict[Bucket, dict[Source, Count]] = Field(min_length=5)
    charged_uj: Count
    gap_uj: Count
    flags: dict[Flag, Count]
    wall_s: Amount
    quality: Quality


class TeacherEnergy(Shape):
    """Of what a teacher took, what is told."""

    charged_uj: Count
    energy_uj: dict[Bucket | Literal["node_total"], Count] | None = None
    flags: dict[Flag, Count] = {}


class Tested(Shape):
    """Metrics on the test images, of which the accuracy is relied on."""

    accuracy: Accuracy


class Teacher(Shape):
    """A teacher's record, with what it took."""

    model: str
    key: str
    val_accuracy: Accuracy
    test: Tested
    gflops_millions: Amount | None
    energy: TeacherEnergy | None
    given: str | None = None


class Logits(Shape):
    """A store of the teacher's answers."""

    passes: Count
    energy: Summary | None


class Compilation(Shape):
    """Code that was generated for networks."""

    energy: Summary | None


class Shared(Shape):
    """``shared.json``."""

    sessions: dict[str, Summary] = {}
    teacher: Teacher | None = None
    teacher_logits: dict[str, Logits] = {}
    compilations: dict[str, Compilation] = {}


class Estimate(Shape):
    """``estimate.json``."""

    charged_uj: Amount | None
    wall_s: Amount | None
    basis: list[str]


class Network(Shape):
    """A network that was measured in use."""

    flags: dict[Flag, Count]


class Inference(Shape):
    """``inference.json``, as far as ``compare`` relies on it."""

    batch_size: Count
    device_name: str
    saved_uj_per_image: list[float]
    teacher: Network
    student: Network


class CarbonRecord(Shape):
    """How energy became CO2, in ``result.json`` and ``run.toml``."""

    model_config = ConfigDict(extra="forbid")

    pue: float = Field(gt=0, le=1e6)
    intensity_g_per_kwh: float = Field(ge=0, le=1e9)
    source: str
    preset: str | None = None


class WorkloadRecord(Shape):
    """The size of a study's trainings, in ``study.toml``."""

    model_config = ConfigDict(extra="forbid")

    teacher_macs: Count
    student_macs: Count
    train_images: Count
    val_images: Count
    test_images: Count


class Resolved(Shape):
    """How a strategy was run, in ``study.toml``, as far as it is relied on to run its networks again."""

    cpus_per_trial: float = Field(gt=0, le=1e6)
    gpus_per_trial: float = Field(ge=0, le=1e6)
    teacher: Name
    workload: WorkloadRecord
    versions: dict[str, str]


class RunPlaces(Shape):
    """Where the last command had its files, in ``run.toml``."""

    data_dir: str | None = None
    teacher: str | None = None
    accepted_teacher: str | None = None


class RunOptions(RunPlaces):
    """How it ran."""

    cpus_per_trial: float = Field(gt=0, le=1e6)
    gpus_per_trial: float = Field(ge=0, le=1e6)
    inline: bool = False


class RunBudget(Shape):
    """What it was allowed to use."""

    model_config = ConfigDict(extra="forbid")

    max_kwh: float | None = Field(default=None, gt=0)
    max_co2_g: float | None = Field(default=None, gt=0)


class Run(Shape):
    """``run.toml``: what a resume relies on."""

    strategies: list[str]
    options: RunOptions
    carbon: CarbonRecord
    study: dict[str, Any]
    budget: RunBudget = RunBudget()


def reason(error: ValidationError) -> str:
    """In a few words what is wrong: each key and why, three at most."""
    told = [f"{'.'.join(map(str, one['loc'])) or 'it'}: {one['msg']}" for one in error.errors()]
    return "; ".join(told[:3]) + ("; ..." if len(told) > 3 else "")


def check(value: Any, shape: Any, path: Path, remedy: str) -> Any:
    """Hold what a file has in it against what it has to hold, and return it as it is.

    Args:
        value: What was read.
        shape: A :class:`Shape`, or any type that pydantic knows.
        path: The file.
        remedy: What to do about one that is damaged.

    Raises:
        ResultsError: It does not fit.
    """
    try:
        _adapter(shape).validate_python(value)
    except ValidationError as error:
        raise ResultsError(f"{path}: damaged ({reason(error)}); {remedy}") from None
    return value


@cache
def _adapter(shape: Any) -> TypeAdapter[Any]:
    return TypeAdapter(shape)


def read_document(path: Path, shape: Any = dict, remedy: str = MADE_AGAIN) -> dict[str, Any]:
    """A JSON object from a results folder.

    Raises:
        ResultsError: It is missing or damaged.
    """
    try:
        document = parse_json(read_whole(path))
        document = unsealed(document) if isinstance(document, dict) else document
    except (OSError, ValueError) as error:
        raise ResultsError(f"{path}: damaged ({error}); {remedy}") from None
    return dict(check(document, shape, path, remedy))


def read_table(path: Path, remedy: str) -> dict[str, Any]:
    """A TOML file of a results folder.

    Raises:
        ResultsError: It is missing or damaged.
    """
    try:
        return parse_toml(read_whole(path))
    except (OSError, ValueError) as error:
        raise ResultsError(f"{path}: damaged ({error}); {remedy}") from None
