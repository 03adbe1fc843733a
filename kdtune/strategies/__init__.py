"""Strategies: which points are tried. One small file each, one protocol for all."""

from kdtune.catalog.registry import Registry

STRATEGIES = Registry("strategy")
STRATEGIES.add("grid", "kdtune.strategies.grid:Grid", "every point of the search space")
STRATEGIES.add("random", "kdtune.strategies.random:Random", "some points, drawn without replacement")
STRATEGIES.add("optuna", "kdtune.strategies.optuna:Optuna", "Optuna's TPE, in rounds of a frozen size")
STRATEGIES.add(
    "stochastic", "kdtune.strategies.stochastic:Stochastic", "no search: one training, each batch draws its tau"
)
STRATEGIES.add("fixed", "kdtune.strategies.fixed:Fixed", "no search: tau 4, what people do without thinking")
STRATEGIES.add(
    "best-of", "kdtune.strategies.best_of:BestOf", "no search: the best of many restarts of one training, to tell luck"
)
STRATEGIES.add(
    "none",
    "kdtune.strategies.none:NoDistillation",
    "the student alone, trained on the labels, no teacher",
    needs_teacher=False,
)
