"""Units whose size suits the values, one for each column: ``0.106 Wh`` instead of ``0.000106 kWh``."""

from collections.abc import Iterable
from dataclasses import dataclass

from kdtune.energy.carbon import J_PER_KWH
from kdtune.report.number_formats import NOTHING, significant


@dataclass(frozen=True)
class Unit:
    """A unit in which values of a column are shown.

    Attributes:
        name: Its symbol, such as ``Wh``.
        per_base: How many of it make one of the unit in which the values are stored.
        least: The unit is used if the largest value, in this unit, is at least this.
    """

    name: str
    per_base: float
    least: float = 1.0

    def of(self, value: float) -> float:
        """Return a stored value in this unit."""
        return value * self.per_base

    def number(self, value: float | None, digits: int = 3) -> str:
        """Format a stored value in this unit, without its symbol."""
        return NOTHING if value is None else significant(self.of(value), digits)

    def text(self, value: float | None, digits: int = 3) -> str:
        """Format a stored value in this unit, with its symbol."""
        return NOTHING if value is None else f"{self.number(value, digits)} {self.name}"


#: Units of each quantity, the largest first. The last one serves for all smaller values.
_ENERGY = (Unit("kWh", 1.0), Unit("Wh", 1e3, 0.01), Unit("J", float(J_PER_KWH)))
_JOULES = (Unit("kJ", 1e-3), Unit("J", 1.0), Unit("mJ", 1e3), Unit("uJ", 1e6))
_TIME = (Unit("s", 1.0), Unit("ms", 1e3), Unit("us", 1e6))
_CO2 = (Unit("t", 1e-6), Unit("kg", 1e-3), Unit("g", 1.0, 0.1), Unit("mg", 1e3))
_PREFIXES = (("Z", 1e21), ("E", 1e18), ("P", 1e15), ("T", 1e12), ("G", 1e9), ("M", 1e6), ("k", 1e3))
_FLOPS = (*(Unit(f"{prefix}FLOPs", 1 / size) for prefix, size in _PREFIXES), Unit("FLOPs", 1.0))


def energy_unit(kwh: Iterable[float | None]) -> Unit:
    """Return the unit for a column of energies in kilowatt-hours."""
    return _fitting(_ENERGY, kwh)


def co2_unit(grams: Iterable[float | None]) -> Unit:
    """Return the unit for a column of CO2 in grams."""
    return _fitting(_CO2, grams)


def joule_unit(joules: Iterable[float | None]) -> Unit:
    """Return the unit for a column of energies in joules, which are smaller than those of trainings."""
    return _fitting(_JOULES, joules)


def time_unit(seconds: Iterable[float | None]) -> Unit:
    """Return the unit for a column of times in seconds."""
    return _fitting(_TIME, seconds)


def flops_unit(flops: Iterable[float | None]) -> Unit:
    """Return the unit for a column of floating-point operations."""
    return _fitting(_FLOPS, flops)


def energy(kwh: float | None) -> str:
    """Format an energy in kilowatt-hours with a suitable unit: ``0.106 Wh``."""
    return energy_unit([kwh]).text(kwh)


def co2(grams: float | None) -> str:
    """Format an amount of CO2 in grams with a suitable unit: ``61.1 mg``."""
    return co2_unit([grams]).text(grams)


def flops(count: float | None) -> str:
    """Format a number of floating-point operations with a suitable unit: ``98.1 GFLOPs``."""
    return flops_unit([count]).text(count)


def _fitting(units: tuple[Unit, ...], values: Iterable[float | None]) -> Unit:
    largest = max((abs(value) for value in values if value is not None), default=0.0)
    return next((unit for unit in units if unit.of(largest) >= unit.least), units[-1])
