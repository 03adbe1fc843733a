"""What each line of an energy ledger has to hold."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from kdtune.energy.sensors.node import Quality

#: A counter; none of a node's comes near the end.
Count = Annotated[int, Field(ge=0, lt=2**63)]

#: A counter put together from others, which may step back.
Step = Annotated[int, Field(gt=-(2**63), lt=2**63)]

Share = Annotated[float, Field(ge=0, le=1e6)]


class _Part(BaseModel):
    """What is written and nothing else, no value of another kind taken for it."""

    model_config = ConfigDict(strict=True, extra="forbid", allow_inf_nan=False)


class CountersPart(_Part):
    """:class:`kdtune.energy.sensors.node.Counters`."""

    boot_id: str
    t_ns: Count
    wall_s: float
    busy_us: Count
    rapl_uj: dict[str, Count] = {}
    gpu_mj: dict[str, Count] = {}


class HardwarePart(_Part):
    """:class:`kdtune.energy.sensors.node.Hardware`."""

    node: str
    cpu_model: str
    cores: Annotated[int, Field(ge=1, lt=2**31)]
    cpu_quality: Quality
    tdp_uw: Count
    ram_uw: Count
    rapl_range_uj: dict[str, Count] = {}
    gpus: dict[str, str] = {}
    gpu_quality: dict[str, Quality] = {}
    tdp_known: bool = True
    left_out: dict[str, str] = {}

    @model_validator(mode="after")
    def _every_gpu_has_a_quality(self) -> "HardwarePart":
        if self.gpus.keys() != self.gpu_quality.keys():
            raise ValueError("it does not say of each GPU how its energy is known")
        return self


class WindowPart(_Part):
    """:class:`kdtune.energy.ledger.Window`."""

    id: str
    bucket: Literal["trials", "evaluation", "orchestration"]
    pid: int
    cpus: Share
    gpus: dict[str, Share] = {}


class NeighboursPart(_Part):
    """:class:`kdtune.energy.neighbours.Neighbours`."""

    t_ns: Count
    others: Count
    before: Count = 0
    cpus_milli: Count = 0
    gpus_milli: dict[str, Count] = {}


class Line(CountersPart):
    """A whole line: the counters, and beside them all the rest."""

    model_config = ConfigDict(extra="ignore")

    kind: Literal["start", "resume", "sample", "open", "close", "stop"]
    meter: str
    seq: Count
    study_us: Step
    windows: dict[str, Step] = {}
    window: WindowPart | None = None
    reason: str | None = None
    hardware: HardwarePart | None = None
    neighbours: list[NeighboursPart] = []
    began: CountersPart | None = None
    nodes: list[str] = []
    unknown_us: Step = 0


def check_line(line: dict[str, Any]) -> None:
    """Make sure that a line holds what it has to.

    Raises:
        ValueError: It does not; says what is wrong.
    """
    try:
        Line.model_validate(line)
    except ValidationError as error:
        first = error.errors()[0]
        raise ValueError(f"{'.'.join(map(str, first['loc'])) or 'it'}: {first['msg']}") from None
