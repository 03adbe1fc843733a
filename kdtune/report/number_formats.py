"""Formats of numbers and points, used by all tables."""

from collections.abc import Mapping

from kdtune.catalog.builtin import DEFAULT_TEMPERATURE, TEMPERATURES
from kdtune.catalog.metric import ACCURACY, Metric
from kdtune.specs.component import Component
from kdtune.specs.quantisation import KEY as QUANTISED
from kdtune.specs.search_space import Point

#: Shown for values that were not measured or do not apply.
NOTHING = "-"


def significant(value: float | None, digits: int = 3) -> str:
    """Format a number with the given significant digits, with an exponent only if it is very large or small."""
    if value is None:
        return NOTHING
    if value == 0:
        return "0"
    if 1e-4 <= abs(value) < 1e6:
        text = f"{value:.{digits}g}"
        return f"{float(text):f}".rstrip("0").rstrip(".") if "e" in text or "." in text else text
    return f"{value:.{digits - 1}e}"


def percent(mean: float | None, std: float | None = None) -> str:
    """Format a fraction as a percentage, with its deviation if given: ``87.6 +- 1.2``."""
    return of_metric(Metric(ACCURACY), mean, std)


def of_metric(metric: Metric, mean: float | None, std: float | None = None) -> str:
    """Format a value of a metric without its unit, with its deviation if given; fractions as percentages."""
    if mean is None:
        return NOTHING
    shown = f"{mean * metric.scale:.{metric.decimals}f}"
    return shown + ("" if std is None else f" +- {std * metric.scale:.{metric.decimals}f}")


def with_unit(metric: Metric, mean: float | None, std: float | None = None) -> str:
    """Format a value of a metric with its unit: ``87.6 +- 1.2 %``."""
    return f"{of_metric(metric, mean, std)} {metric.shown_unit}".rstrip()


def ratio(value: float | None) -> str:
    """Format a ratio: ``19.2 x``."""
    return NOTHING if value is None else (f"{value:.2f} x" if value < 10 else f"{value:.1f} x")


def size(count: int) -> str:
    """Format a number of bytes with a suitable unit: ``8.1 MB``."""
    for unit, factor in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if count >= factor:
            return f"{count / factor:.3g} {unit}"
    return f"{count} B"


def amount(count: float | None) -> str:
    """Format a count with three digits: ``12,300``, ``4.56 million``."""
    if count is None:
        return NOTHING
    for word, factor in ((" trillion", 10**12), (" billion", 10**9), (" million", 10**6)):
        if count >= factor:
            return f"{significant(count / factor)}{word}"
    return f"{round(float(f'{count:.3g}')):,}" if count >= 1000 else significant(count)


def duration(seconds: float) -> str:
    """Format a duration: ``0:42``, ``12:05`` or ``3:07:00``."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


def describe_point(point: Point | None) -> str:
    """Format a point briefly: its tau or temperature policy, and its other values."""
    if point is None:
        return NOTHING
    others = [
        f"{key}={_value(value)}" for key, value in point.items() if key not in ("tau", "temperature", "loss", QUANTISED)
    ]
    name = point.get("temperature")
    shown = [] if name in (None, DEFAULT_TEMPERATURE) else [_name_of(str(name))]
    if "tau" in point:
        shown.append(f"{point['tau']:g}")
    if QUANTISED in point:
        shown.append(str(point[QUANTISED]))
    return " ".join([*(shown or [NOTHING]), *others])


def _value(value: object) -> str:
    """Format a value of a point; a table of options is put in parentheses."""
    if isinstance(value, Mapping):
        return f"({', '.join(f'{key}={_value(one)}' for key, one in value.items())})"
    return f"{value:g}" if isinstance(value, int | float) else str(value)


def describe_choice(point: Point | None) -> str:
    """Format the point that a repeat chose, without the number of its restart, which no one can choose."""
    return describe_point(point and {key: value for key, value in point.items() if key != "restart"})


def _name_of(temperature: str) -> str:
    """Return what a temperature policy is called in tables."""
    return str(TEMPERATURES.facts_of(temperature).get("shown_as", Component(name=temperature).short_name))
