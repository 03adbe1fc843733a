"""Footnotes on what the authors of methods tuned, which no strategy of a table was charged for."""

from collections.abc import Iterator, Sequence

from kdtune.catalog.builtin import LOSSES, TEMPERATURES
from kdtune.results.strategy_result import StrategyResult


def hidden_tuning(results: Sequence[StrategyResult]) -> list[str]:
    """Return a note for each method under which models of the table were trained, and what they have in common."""
    found: dict[str, list[str]] = {}
    for name, tuning in dict(pair for result in results for pair in _of_result(result)).items():
        found.setdefault(tuning, []).append(name)
    lines = [f"Hidden tuning of {' and '.join(names)}: {tuning}." for tuning, names in found.items()]
    return [*lines, "Hidden tuning is charged only where a strategy searches it."] if lines else []


def _of_result(result: StrategyResult) -> Iterator[tuple[str, str]]:
    """Yield name and hidden tuning of the methods of the chosen points."""
    for repeat in result.repeats:
        point = repeat.chosen or {}
        loss = point.get("loss", result.loss if point else None)
        for catalog, name in ((TEMPERATURES, point.get("temperature")), (LOSSES, loss)):
            if tuning := catalog.facts_of(str(name)).get("hidden_tuning"):
                yield str(name), tuning
