"""Draws the README's picture: the report's figure of accuracy against energy, from kept results.

Run it from the root of the repository: python docs/images/accuracy_and_energy.py
"""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from kdtune.catalog.metric import ACCURACY, Metric
from kdtune.report.html.accuracy_figures import accuracy_over_energy
from kdtune.report.html.drawing import ReportFigure, series_of
from kdtune.report.html.figure_files import write_figures
from kdtune.report.html.page import page_style
from kdtune.results.strategy_result import StrategyResult
from kdtune.storage.records import parsed

RESULTS = Path("benchmarks/results/fashion_hkd_live.json")


def strategy(document: dict[str, Any]) -> SimpleNamespace:
    """Return what the figure needs of a strategy."""
    result = parsed(document, StrategyResult)
    by_seed = {repeat.seed: repeat.charged_uj for repeat in result.repeats}
    return SimpleNamespace(
        name=result.strategy, result=result, figures=SimpleNamespace(charged=SimpleNamespace(by_seed=by_seed))
    )


def main() -> None:
    """Write the picture beside this file."""
    strategies = [strategy(one) for one in json.loads(RESULTS.read_text())["results"]]
    study: Any = SimpleNamespace(strategies=strategies, metric=Metric(ACCURACY))
    figure = accuracy_over_energy(study, series_of([one.name for one in strategies]))
    assert isinstance(figure, ReportFigure)
    here = Path(__file__).parent
    [file] = write_figures([figure], [], here, "svg", page_style())
    file.rename(here / "accuracy-and-energy.svg")


if __name__ == "__main__":
    main()
