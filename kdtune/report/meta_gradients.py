"""A note on the operations that meta-gradients add to trainings."""

from collections.abc import Sequence

from kdtune.report.number_formats import percent
from kdtune.results.strategy_result import StrategyResult


def meta_gradients(results: Sequence[StrategyResult]) -> list[str]:
    """Return a line for each strategy whose trainings computed meta-gradients."""
    return [
        f"Meta-gradients are {percent(result.cost.meta_flops / result.cost.training_flops)} % of the FLOPs that the "
        f"trainings of {result.strategy} executed; the column of FLOPs, which counts the passes of training and "
        "validation, does not include them. Their energy is charged like all of a training's."
        for result in results
        if result.cost.meta_flops
    ]
