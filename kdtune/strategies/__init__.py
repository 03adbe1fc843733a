"""Strategies: which points are tried. One small file each, one protocol for all."""

from kdtune.catalog.registry import Registry

STRATEGIES = Registry("strategy")
STRATEGIES.add("grid", "kdtune.strategies.grid:Grid", "every point of the search space")
STRATEGIES.add("random", "kdtune.strategies.random:Random", "some points, drawn without replacement")
STRATEGIES.add("optuna", "kdtune.strategies.optuna:Optuna", "Optuna's TPE, in rounds of a frozen size")
STRATEGIES.add(
    "stochastic", "kdtune.strategies.stochastic:Stochastic", "no search: one training, a random tau for each batch"
)
STRATEGIES.add("fixed", "kdtune.strategies.fixed:Fixed", "no search: one training at tau 4, a customary value")
STRATEGIES.add(
    "best-of",
    "kdtune.strategies.best_of:BestOf",
    "no search: the best of many restarts of one training, a control for luck",
)
STRATEGIES.add(
    "none",
    "kdtune.strategies.none:NoDistillation",
    "no search: the student alone, trained on the labels without a teacher",
    needs_teacher=False,
)
