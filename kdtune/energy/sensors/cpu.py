"""Power of a CPU without energy counters, modelled from its thermal design power (TDP)."""

from dataclasses import dataclass
from pathlib import Path

#: Linux's description of the processors.
CPU_INFO = Path("/proc/cpuinfo")


@dataclass(frozen=True)
class CpuPower:
    """Entry of a CPU in codecarbon's table.

    Attributes:
        model: Model name that the CPU reports.
        tdp_w: Power in watts; 0 if codecarbon has none.
        known: Whether ``tdp_w`` is the design power of this CPU; otherwise it is codecarbon's default.
    """

    model: str
    tdp_w: float
    known: bool


def look_up_cpu() -> CpuPower:
    """Return the entry of this machine's CPU in codecarbon's table."""
    from codecarbon.core import cpu

    detect = cpu.detect_cpu_model
    if name := _model_name():
        # codecarbon's own function starts other programs, which takes a second.
        cpu.detect_cpu_model = lambda: name  # type: ignore[assignment]
    try:
        tdp = cpu.TDP()
    finally:
        cpu.detect_cpu_model = detect
    known = bool(tdp.model) and tdp._get_cpu_power_from_registry(tdp.model) is not None
    return CpuPower(str(tdp.model), float(tdp.tdp or 0), known)


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
