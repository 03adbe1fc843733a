"""How often the intervals of ``kdtune compare`` contain the truth, and how often its verdicts are wrong, by simulation.

Tables of five strategies are drawn, each with paired differences from the same distribution, and judged as results of
studies are. The deviation is half a point, the usual margin. Errors are counted per table: a table is wrong if at least
one of its verdicts is.
"""

import random
import statistics
from collections.abc import Callable, Sequence
from typing import Any

from benchmarks.record import print_progress, save
from kdtune.analysis.difference_verdicts import BaselineComparison, paired_comparison, with_verdicts
from kdtune.catalog.metric import Metric

#: Margin, and standard deviation of the differences.
MARGIN = DEVIATION = 0.005

#: Tables in each cell, comparisons in each table, and numbers of repeats.
TABLES, COMPARISONS, REPEATS = 200, 5, (3, 5, 6, 10)

#: Share of one test image.
RESOLUTION = 1e-4

METRIC = Metric("accuracy")

#: Distributions with mean 0 and deviation 1: normal, skewed to the right, and with outliers.
SHAPES: dict[str, Callable[[random.Random], float]] = {
    "normal": lambda generator: generator.gauss(0, 1),
    "skewed": lambda generator: generator.expovariate(1) - 1,
    "outliers": lambda generator: generator.gauss(0, 1) * (2.294 if generator.random() < 0.1 else 0.726),
}

#: True differences.
MEANS = {"no difference": 0.0, "a difference of the margin": MARGIN, "a difference of two margins": 2 * MARGIN}


def table(generator: random.Random, shape: str, mean: float, repeats: int) -> Sequence[BaselineComparison]:
    """Return the judged comparisons of one table."""
    compared = []
    for place in range(COMPARISONS):
        drawn = (mean + DEVIATION * SHAPES[shape](generator) for _ in range(repeats))
        differences = [round(one / RESOLUTION) * RESOLUTION for one in drawn]
        compared.append(paired_comparison(str(place), differences, METRIC, MARGIN, RESOLUTION))
    return with_verdicts(compared, METRIC, MARGIN)


def cell(shape: str, mean: float, repeats: int, tables: int = TABLES) -> dict[str, float]:
    """Return shares of intervals, comparisons and tables for one distribution, difference and number of repeats."""
    generator = random.Random(f"{shape} {mean} {repeats}")
    drawn = [table(generator, shape, mean, repeats) for _ in range(tables)]
    every = [one for judged in drawn for one in judged]

    def covered(name: str) -> float:
        intervals = (getattr(one, name) for one in every)
        return statistics.fmean(interval.low <= mean <= interval.high for interval in intervals)

    def share(of: Callable[[BaselineComparison], bool]) -> float:
        return statistics.fmean(map(of, every))

    return {
        "t_interval_covers": covered("difference"),
        "bca_interval_covers": covered("bootstrap"),
        "better": share(lambda one: one.verdict == "better"),
        "worse": share(lambda one: one.verdict == "worse"),
        "within_margin": share(lambda one: one.within_margin),
        "tables_with_a_difference": statistics.fmean(
            any(one.verdict in ("better", "worse") for one in judged) for judged in drawn
        ),
        "tables_with_equivalence": statistics.fmean(any(one.within_margin for one in judged) for judged in drawn),
    }


def run() -> None:
    """Simulate all cells and save the table."""
    cells: list[dict[str, Any]] = []
    for shape in SHAPES:
        for name, mean in MEANS.items():
            for repeats in REPEATS:
                print_progress(f"{shape}, {name}, {repeats} repeats")
                cells.append({"shape": shape, "truth": name, "repeats": repeats, **cell(shape, mean, repeats)})
    setting = {
        "margin": MARGIN,
        "deviation": DEVIATION,
        "tables": TABLES,
        "comparisons": COMPARISONS,
        "resolution": RESOLUTION,
    }
    save("verdict_errors", "python -m benchmarks verdict_errors", {"setting": setting, "cells": cells})
