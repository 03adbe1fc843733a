"""Strategy ``optuna``: Optuna's TPE sampler (tree-structured Parzen estimator), in rounds of fixed size.

kdtune calls Optuna's ask and tell itself instead of using Ray's OptunaSearch. The points then depend only on the seed
and on the outcomes, not on which trials ran at the same time, and a resumed study proposes the same points again.
"""

import math
from collections import deque
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any, ClassVar

from pydantic import BaseModel, Field

from kdtune.specs.search_space import Dimension, SearchSpace
from kdtune.specs.suggestion import Suggestion
from kdtune.storage.files import read_whole, replaced_atomically
from kdtune.strategies.base import MAX_TRIALS, Outcome, Strategy
from kdtune.strategies.gain_rule import GainRule

#: File for optuna-dashboard, with one Optuna study per repeat.
DATABASE = "optuna.db"


#: Part of the epochs after which trials are judged if they may be pruned.
RUNG = 1 / 3


class Options(GainRule):
    """Number of trials in total, in each round and before the sampler is used.

    Attributes:
        trials: Number of points that are proposed.
        round_size: Number of points in a round.
        startup_trials: Number of points that are drawn at random, and before which no trial is pruned.
        pruning: Whether a trial ends after :data:`RUNG` of the epochs if it is worse there than the median so far.
    """

    trials: int = Field(default=10, ge=1, le=MAX_TRIALS)
    round_size: int = Field(default=2, ge=1, le=MAX_TRIALS)
    startup_trials: int = Field(default=4, ge=1, le=MAX_TRIALS)
    pruning: bool = Field(default=False, strict=True)


class Optuna(Strategy):
    """Proposes ``trials`` points, the first ``startup_trials`` at random; updates the sampler after each round."""

    Options: ClassVar[type[BaseModel]] = Options

    def __init__(self, space: SearchSpace, options: BaseModel, seed: int) -> None:
        super().__init__(space, options, seed)
        assert isinstance(options, Options)
        self._left = options.trials
        self._round_size = options.round_size
        self._asked: deque[Any] = deque()
        self.has_rungs = options.pruning
        self._startup = options.startup_trials
        #: Trials that go on in the next round, and the scores of all trials at the rung.
        self._going_on: list[tuple[Any, Suggestion]] = []
        self._at_rung: list[float] = []
        #: Scores of the trials that were trained to the end.
        self._scores: list[float] = []
        self._is_rung = False

    @cached_property
    def _storage(self) -> Any:
        import optuna

        return optuna.storages.InMemoryStorage()

    @cached_property
    def _study(self) -> Any:
        """The Optuna study, made at its first use since the import of Optuna takes a while and plans do not need it."""
        import optuna

        assert isinstance(self.options, Options)
        before = optuna.logging.get_verbosity()
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        try:
            sampler = optuna.samplers.TPESampler(
                n_startup_trials=self.options.startup_trials, seed=self.seed, constant_liar=True
            )
            return optuna.create_study(
                storage=self._storage, sampler=sampler, study_name=f"seed-{self.seed}", direction="maximize"
            )
        finally:
            optuna.logging.set_verbosity(before)

    def expected_trials(self) -> int:
        """Return the number of proposed points; there are fewer trials if a point is proposed twice."""
        assert isinstance(self.options, Options)
        return self.options.trials

    def ask(self) -> list[Suggestion]:
        """Return the next round. A point that is proposed again is answered from its record."""
        if self._going_on:
            self._asked = deque(trial for trial, _ in self._going_on)
            suggestions = [suggestion.model_copy(update={"until": 1.0}) for _, suggestion in self._going_on]
            self._going_on, self._is_rung = [], False
            return suggestions
        assert isinstance(self.options, Options)
        if self.options.ends(self._scores):
            return []
        self._is_rung = self.has_rungs
        count = min(self._round_size, self._left)
        self._left -= count
        distributions = {name: _distribution(self.space[name]) for name in self.space}
        self._asked = deque(self._study.ask(distributions) for _ in range(count))
        until = RUNG if self._is_rung else 1.0
        return [
            Suggestion(values={name: self._snapped(name, value) for name, value in trial.params.items()}, until=until)
            for trial in self._asked
        ]

    def _snapped(self, name: str, value: Any) -> Any:
        """Return the closest point of the space, since Optuna's arithmetic turns 0.7 into 0.7000000000000001."""
        dimension = self.space[name]
        return min(dimension.points(), key=lambda point: abs(point - value)) if dimension.is_finite else value

    def tell(self, outcomes: Sequence[Outcome]) -> None:
        """Pass the scores of the round to the sampler, or decide which of its trials go on."""
        from optuna.trial import TrialState

        if self._is_rung:
            self._judge(outcomes)
            return
        for outcome in outcomes:
            trial = self._asked.popleft()
            if outcome.score is not None:
                self._scores.append(outcome.score)
                self._study.tell(trial, outcome.score)
            else:
                self._study.tell(trial, state=TrialState.FAIL)

    def _judge(self, outcomes: Sequence[Outcome]) -> None:
        """Let the trials of a rung go on that are no worse than the median of all trials there so far."""
        from optuna.trial import TrialState

        self._at_rung += [outcome.score for outcome in outcomes if outcome.score is not None]
        least = median(self._at_rung) if len(self._at_rung) > self._startup else -math.inf
        for outcome in outcomes:
            trial = self._asked.popleft()
            if outcome.score is None:
                self._study.tell(trial, state=TrialState.FAIL)
                continue
            trial.report(outcome.score, step=1)
            if outcome.score < least:
                self._study.tell(trial, state=TrialState.PRUNED)
            else:
                self._going_on.append((trial, outcome.suggestion))

    def export(self, folder: Path) -> None:
        """Add the Optuna study of this repeat to an SQLite file for optuna-dashboard.

        A damaged file is replaced, and every repeat adds its study again.
        """
        import sqlite3

        import optuna
        from sqlalchemy.exc import SQLAlchemyError

        path = folder / DATABASE
        before = optuna.logging.get_verbosity()
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        try:
            # SQLAlchemy misreads paths with a question mark, so the file is made in a temporary folder.
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
        """Add or replace the Optuna study of this repeat in a database."""
        import optuna

        name = self._study.study_name
        storage = optuna.storages.RDBStorage(url)
        try:
            if name in optuna.get_all_study_names(storage):
                optuna.delete_study(study_name=name, storage=storage)
            optuna.copy_study(from_study_name=name, from_storage=self._storage, to_storage=storage)
        finally:
            storage.remove_session()
            storage.engine.dispose()  # otherwise its connections keep the file open


def _distribution(dimension: Dimension) -> Any:
    """Return Optuna's distribution for a dimension."""
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    if dimension.values is not None:
        return CategoricalDistribution(dimension.values)
    low, high = dimension.bounds
    if dimension.is_finite:
        points = dimension.points()
        step = dimension.step or 1
        whole = all(isinstance(point, int) for point in points)
        if dimension.log and not (whole and step == 1):  # Optuna supports a logarithm only with step 1
            return CategoricalDistribution(points)
        if whole:
            return IntDistribution(int(low), int(points[-1]), log=dimension.log, step=int(step))
        return FloatDistribution(low, float(points[-1]), step=float(step))
    return FloatDistribution(low, high, log=dimension.log)
