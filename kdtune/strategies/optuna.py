"""Optuna's TPE (tree-structured Parzen estimator) over the same space, in rounds of a frozen size.

kdtune asks and tells by itself instead of through Ray's OptunaSearch: the points then depend on the seed and on
the outcomes alone, whatever ran beside what, and a killed study proposes the same again.
"""

from collections import deque
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, ClassVar

from pydantic import BaseModel, Field

from kdtune.specs.search_space import Dimension, SearchSpace
from kdtune.specs.suggestion import Suggestion
from kdtune.storage.files import read_whole, replaced_atomically
from kdtune.strategies.base import MAX_TRIALS, NoOptions, Outcome, Strategy

#: The file that optuna-dashboard opens, one Optuna study a repeat.
DATABASE = "optuna.db"


class Options(NoOptions):
    """How many points, and how many at a time."""

    trials: int = Field(default=10, ge=1, le=MAX_TRIALS)
    round_size: int = Field(default=2, ge=1, le=MAX_TRIALS)
    startup_trials: int = Field(default=4, ge=1, le=MAX_TRIALS)


class Optuna(Strategy):
    """Proposes ``trials`` points, the first ``startup_trials`` at random, learning after each round."""

    Options: ClassVar[type[BaseModel]] = Options

    def __init__(self, space: SearchSpace, options: BaseModel, seed: int) -> None:
        super().__init__(space, options, seed)
        import optuna

        assert isinstance(options, Options)
        self._left = options.trials
        self._round_size = options.round_size
        self._distributions = {name: _distribution(space[name]) for name in space}
        self._storage = optuna.storages.InMemoryStorage()
        before = optuna.logging.get_verbosity()
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        try:
            sampler = optuna.samplers.TPESampler(n_startup_trials=options.startup_trials, seed=seed, constant_liar=True)
            self._study = optuna.create_study(
                storage=self._storage, sampler=sampler, study_name=f"seed-{seed}", direction="maximize"
            )
        finally:
            optuna.logging.set_verbosity(before)
        self._asked: deque[Any] = deque()

    def expected_trials(self) -> int:
        """Fewer where a point comes twice."""
        assert isinstance(self.options, Options)
        return self.options.trials

    def ask(self) -> list[Suggestion]:
        """The next round; the same point may come again and is then answered from its record."""
        count = min(self._round_size, self._left)
        self._left -= count
        self._asked = deque(self._study.ask(self._distributions) for _ in range(count))
        return [
            Suggestion(values={name: self._snapped(name, value) for name, value in trial.params.items()})
            for trial in self._asked
        ]

    def _snapped(self, name: str, value: Any) -> Any:
        """The space's own point: Optuna's arithmetic makes 0.7000000000000001 of 0.7, which would be another trial."""
        dimension = self.space[name]
        return min(dimension.points(), key=lambda point: abs(point - value)) if dimension.is_finite else value

    def tell(self, outcomes: Sequence[Outcome]) -> None:
        """Pass the round's scores on to the sampler."""
        from optuna.trial import TrialState

        for outcome in outcomes:
            trial = self._asked.popleft()
            if outcome.succeeded:
                self._study.tell(trial, outcome.score)
            else:
                self._study.tell(trial, state=TrialState.FAIL)

    def export(self, folder: Path) -> None:
        """Add this repeat's Optuna study to an SQLite file that optuna-dashboard opens.

        A file that is none, or damaged, is begun anew: every repeat adds its study again.
        """
        import sqlite3

        import optuna
        from sqlalchemy.exc import SQLAlchemyError

        path = folder / DATABASE
        before = optuna.logging.get_verbosity()
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        try:
            # SQLAlchemy would read a name with ? in it as something else, so the file is made where names are plain.
            with TemporaryDirectory(prefix="kdtune-optuna-") as place, replaced_atomically(path) as file:
                made = Path(place) / DATABASE
                try:
                    made.write_bytes(read_whole(path))
                    self._add_to(f"sqlite:///{made}")
                except (OSError, SQLAlchemyError, sqlite3.Error):
                    made.unlink(missing_ok=True)
                    self._add_to(f"sqlite:///{made}")
                file.write(made.read_bytes())
        finally:
            optuna.logging.set_verbosity(before)

    def _add_to(self, url: str) -> None:
        import optuna

        name = self._study.study_name
        if name in optuna.get_all_study_names(url):
            optuna.delete_study(study_name=name, storage=url)
        optuna.copy_study(from_study_name=name, from_storage=self._storage, to_storage=url)


def _distribution(dimension: Dimension) -> Any:
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    if dimension.values is not None:
        return CategoricalDistribution(dimension.values)
    low, high = dimension.bounds
    if dimension.is_finite:
        points = dimension.points()
        step = dimension.step or 1
        whole = all(isinstance(point, int) for point in points)
        if dimension.log and not (whole and step == 1):  # Optuna knows no logarithm with another step
            return CategoricalDistribution(points)
        if whole:
            return IntDistribution(int(low), int(points[-1]), log=dimension.log, step=int(step))
        return FloatDistribution(low, float(points[-1]), step=float(step))
    return FloatDistribution(low, high, log=dimension.log)
