"""Strategies: which trainings are tried. One small file each, one protocol for all.

Facts about a strategy: ``needs_teacher``, False where its trainings have none whatever the study's loss is;
``restartable``, True where it is one training that ``best-of`` can start again.
"""

from kdtune.catalog.registry import Registry

STRATEGIES = Registry("strategy")
STRATEGIES.add("grid", "kdtune.strategies.grid:Grid", "every point of the search space")
STRATEGIES.add("random", "kdtune.strategies.random:Random", "some points, drawn without replacement")
STRATEGIES.add("optuna", "kdtune.strategies.optuna:Optuna", "Optuna's TPE, in rounds of a frozen size")
STRATEGIES.add(
    "stochastic",
    "kdtune.strategies.stochastic:Stochastic",
    "no search: one training, each batch draws its tau",
    restartable=True,
)
STRATEGIES.add(
    "fixed",
    "kdtune.strategies.fixed:Fixed",
    "no search: tau 4, what people do without thinking",
    restartable=True,
)
STRATEGIES.add(
    "single",
    "kdtune.strategies.single:Single",
    "no search: one training under a temperature by name",
    restartable=True,
)
STRATEGIES.add(
    "best-of", "kdtune.strategies.best_of:BestOf", "no search: the best of many restarts of one training, to tell luck"
)
STRATEGIES.add(
    "none",
    "kdtune.strategies.none:NoDistillation",
    "the student alone, trained on the labels, no teacher",
    needs_teacher=False,
)
