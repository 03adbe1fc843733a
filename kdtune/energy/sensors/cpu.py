"""Power of a CPU without energy counters, modelled from its thermal design power (TDP)."""

import csv
from dataclasses import dataclass
from pathlib import Path

#: Linux's description of the processors.
CPU_INFO = Path("/proc/cpuinfo")


@dataclass(frozen=True)
class CpuPower:
    """Entry of a CPU in codecarbon's table.

    Attributes:
        model: Model name that the CPU reports.
        tdp_w: Design power in watts; 0 if the table does not contain the CPU.
        known: Whether the table contains the CPU.
    """

    model: str
    tdp_w: float
    known: bool


def look_up_cpu() -> CpuPower:
    """Return the entry of this machine's CPU in codecarbon's table."""
    from codecarbon.core.cpu import detect_cpu_model

    # codecarbon's function, which starts other programs and takes a second, is the last resort.
    model = _model_name() or detect_cpu_model()
    power_w = _design_power_w(model) if model else None
    return CpuPower(model or "Unknown", power_w or 0.0, known=power_w is not None)


def _design_power_w(model: str) -> float | None:
    """Return the power of the table's CPU that codecarbon matches with a model name; None if it matches none.

    codecarbon itself reads the table with pandas, whose import takes half a second in each process with a meter.
    """
    from codecarbon.core.cpu import TDP
    from codecarbon.input import DataSource

    with Path(DataSource().cpu_power_path).open(encoding="utf-8", newline="") as table:
        powers_w = {row["Name"]: row["TDP"] for row in csv.DictReader(table)}
    match = TDP._get_matching_cpu(TDP.__new__(TDP), model, {"Name": list(powers_w)})
    return float(powers_w[match]) if match else None


def _model_name() -> str | None:
    """Return the CPU's name from Linux; None if Linux gives none, as on ARM."""
    try:
        lines = CPU_INFO.read_text().splitlines()
    except OSError:
        return None
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, None)


def default_power_w(cores: int) -> float:
    """Return the power in watts that codecarbon assumes for a CPU that is not in its table."""
    from codecarbon.core.cpu import DEFAULT_POWER_PER_CORE

    return float(DEFAULT_POWER_PER_CORE * cores)


def power_in_words(tdp_w: float, *, known: bool) -> str:
    """Return a description of the power on which the model of a CPU is based."""
    if known:
        return f"design power of {tdp_w:g} W"
    return f"{tdp_w:g} W, which is codecarbon's default for an unknown CPU"
