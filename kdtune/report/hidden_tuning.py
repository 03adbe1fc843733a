"""Footnotes on what the authors of methods tuned, which no strategy of a table was charged for."""

from collections.abc import Iterator, Sequence

from kdtune.catalog.builtin import LOSSES, TEMPERATURES
from kdtune.results.strategy_result import StrategyResult


def hidden_tuning(results: Sequence[StrategyResult]) -> list[str]:
    """Return a note for each method under which models of the table were trained."""
    found = dict(pair for result in results for pair in _of_result(result))
    return [
        f"Hidden tuning of {name}, charged only where a strategy searches it: {tuning}."
        for name, tuning in found.items()
    ]


def _of_result(result: StrategyResult) -> Iterator[tuple[str, str]]:
    """Yield name and hidden tuning of the methods of the chosen points."""
    for repeat in result.repeats:
        point = repeat.chosen or {}
        loss = point.get("loss", result.loss if point else None)
        for catalog, name in ((TEMPERATURES, point.get("temperature")), (LOSSES, loss)):
            if tuning := catalog.facts_of(str(name)).get("hidden_tuning"):
                yield str(name), tuning
