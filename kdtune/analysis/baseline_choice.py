"""The strategy with which others are compared if the user names none."""

from collections.abc import Sequence

from kdtune.analysis.strategy_figures import common_metric
from kdtune.catalog.builtin import WITHOUT_TEACHER
from kdtune.results.strategy_result import StrategyResult

#: The usual baseline: the paper's method.
BASELINE = "stochastic"


def baseline_of(results: Sequence[StrategyResult]) -> str:
    """Return the usual baseline, or the best distillation of one training if the usual one was not run.

    The best one is that with the best mean of the deciding metric on the validation images. Without a distillation of
    one training, it is the first strategy. Results of several studies have no baseline unless the user names one, so
    the usual name is returned, which none of them has.

    Args:
        results: Results of a comparison.
    """
    names = [one.strategy for one in results]
    if BASELINE in names or len({one.study for one in results}) != 1:
        return BASELINE
    metric = common_metric(results)

    def score(one: StrategyResult) -> float:
        mean, _ = one.mean_and_std(metric, "val")
        return float("-inf") if mean is None else metric.score(mean)

    single = max(filter(_is_one_distillation, results), key=score, default=results[0])
    return single.strategy


def _is_one_distillation(result: StrategyResult) -> bool:
    """Return whether each repeat is one training with a teacher."""
    chosen = [repeat.chosen for repeat in result.repeats if repeat.chosen]
    alone = any(point.get("loss", result.loss) == WITHOUT_TEACHER for point in chosen)
    return bool(chosen) and not alone and all(repeat.trials <= 1 for repeat in result.repeats)
