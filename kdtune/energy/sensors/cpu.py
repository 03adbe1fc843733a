"""Power of a CPU without energy counters, modelled from its thermal design power (TDP)."""

from dataclasses import dataclass


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
    """Return the entry of this machine's CPU. The call takes about a second."""
    from codecarbon.core.cpu import TDP

    tdp = TDP()
    known = bool(tdp.model) and tdp._get_cpu_power_from_registry(tdp.model) is not None
    return CpuPower(str(tdp.model), float(tdp.tdp or 0), known)


def default_power_w(cores: int) -> float:
    """Return the power in watts that codecarbon assumes for a CPU that is not in its table."""
    from codecarbon.core.cpu import DEFAULT_POWER_PER_CORE

    return float(DEFAULT_POWER_PER_CORE * cores)


def power_in_words(tdp_w: float, *, known: bool) -> str:
    """Return a description of the power on which the model of a CPU is based."""
    if known:
        return f"design power of {tdp_w:g} W"
    return f"{tdp_w:g} W, which is codecarbon's default for an unknown CPU"
