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
    "no search: one training, a random tau for each batch",
    restartable=True,
)
STRATEGIES.add(
    "fixed",
    "kdtune.strategies.fixed:Fixed",
    "no search: one training at tau 4, a customary value",
    restartable=True,
)
STRATEGIES.add(
    "single",
    "kdtune.strategies.single:Single",
    "no search: one training under a temperature by name",
    restartable=True,
)
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
