"""Schema of a line of the energy ledger, against which each line is validated when it is read.

It is strict, because energy computed from a damaged line would be wrong without notice.
"""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from kdtune.energy.sensors.node import Quality

#: Value of a counter; none of a node's counters comes near the upper bound.
Count = Annotated[int, Field(ge=0, lt=2**63)]

#: Value of a counter that is computed from others and may therefore decrease.
SignedCount = Annotated[int, Field(gt=-(2**63), lt=2**63)]

Share = Annotated[float, Field(ge=0, le=1e6)]


class _StrictModel(BaseModel):
    """A part of a line that accepts no unknown keys and converts no types."""

    model_config = ConfigDict(strict=True, extra="forbid", allow_inf_nan=False)


class CountersPart(_StrictModel):
    """Schema of :class:`kdtune.energy.sensors.node.Counters`."""

    boot_id: str
    t_ns: Count
    wall_s: float
    busy_us: Count
    rapl_uj: dict[str, Count] = {}
    gpu_mj: dict[str, Count] = {}


class HardwarePart(_StrictModel):
    """Schema of :class:`kdtune.energy.sensors.node.Hardware`."""

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
            raise ValueError("gpus and gpu_quality must list the same GPUs")
        return self


class WindowPart(_StrictModel):
    """Schema of :class:`kdtune.energy.ledger.Window`."""

    id: str
    bucket: Literal["trials", "evaluation", "orchestration"]
    pid: int
    cpus: Share
    gpus: dict[str, Share] = {}


class NeighboursPart(_StrictModel):
    """Schema of :class:`kdtune.energy.neighbours.Neighbours`."""

    t_ns: Count
    others: Count
    before: Count = 0
    cpus_milli: Count = 0
    gpus_milli: dict[str, Count] = {}


class LedgerLine(CountersPart):
    """Schema of a whole line: the counters, at its top level, and the other values of the record."""

    model_config = ConfigDict(extra="ignore")

    kind: Literal["start", "resume", "sample", "open", "close", "stop"]
    meter: str
    seq: Count
    study_us: SignedCount
    windows: dict[str, SignedCount] = {}
    window: WindowPart | None = None
    reason: str | None = None
    hardware: HardwarePart | None = None
    neighbours: list[NeighboursPart] = []
    began: CountersPart | None = None
    nodes: list[str] = []
    unknown_us: SignedCount = 0


def check_line(line: dict[str, Any]) -> None:
    """Check that a line matches the schema.

    Raises:
        ValueError: It does not; the message names the first invalid value.
    """
    try:
        LedgerLine.model_validate(line)
    except ValidationError as error:
        first = error.errors()[0]
        raise ValueError(f"{'.'.join(map(str, first['loc'])) or 'it'}: {first['msg']}") from None
