"""What searches would find and cost, from many replays on recorded trials."""

import statistics
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from kdtune.analysis.comparison import WantedCarbon
from kdtune.analysis.find_results import Places
from kdtune.analysis.grid_recording import GridRecording, read_grids
from kdtune.catalog.builtin import STRATEGIES, is_all_built_in
from kdtune.catalog.metric import Metric
from kdtune.errors import Fault, ResultsError, SpecError
from kdtune.execution.replay.recorded_trials import PointKey, key_of
from kdtune.execution.replay.replay_executor import ReplayedTrial, ReplayExecutor
from kdtune.results.trial_log import TrialLog
from kdtune.specs import load_study
from kdtune.specs.study import Study
from kdtune.storage.records import as_record
from kdtune.strategies.base import OneRound, Strategy

#: Number of replays by default: of strategies that ask once, and of those that learn from outcomes, which take longer.
REPLAYS, ADAPTIVE_REPLAYS = 10_000, 200


@dataclass(frozen=True)
class BudgetPoint:
    """The expected outcome of a search that may train so often. Searches that end earlier count as they ended.

    Attributes:
        trials: Largest number of trainings; one that stops early and goes on later counts again.
        training_kwh: Energy of the trainings, PUE included, without start-up; None if it was not metered.
        validation: Validation value of the chosen point, which is optimistic; None before any replay has a model.
        elsewhere: Validation value at the chosen point in the other repeats, which is not; None with one repeat.
        regret: By how much the validation value is worse than the best of the grid in the same repeat; None likewise.
        found_best: Probability of having found the point that the grid chooses.
    """

    trials: int
    training_kwh: float | None
    validation: float | None
    elsewhere: float | None
    regret: float | None
    found_best: float


@dataclass(frozen=True)
class ReplayForecast:
    """Forecast of a strategy.

    Attributes:
        study: Name of the study.
        strategy: Label of the strategy.
        metric: Name of the metric that decides the study.
        metric_info: How it is judged and shown.
        replays: Number of replays.
        recorded_repeats: Number of repeats whose grid was recorded completely; the replays use them in turns.
        trials: Mean number of trainings.
        validation_std: Standard deviation of the validation value over replays.
        curve: Expected outcome for every number of trainings.
        searches_run: Number of repeats in which this strategy was really run, and ``same_choice`` in how many of them
            the replay with the same seed chooses the same point.
    """

    study: str
    strategy: str
    metric: str
    metric_info: Metric
    replays: int
    recorded_repeats: int
    trials: float
    validation_std: float
    curve: tuple[BudgetPoint, ...]
    searches_run: int
    same_choice: int

    def as_json(self) -> dict[str, Any]:
        """Return the forecast as a record."""
        record: dict[str, Any] = as_record(self)
        return record


def forecast(
    places: Places,
    labels: Sequence[str] = (),
    *,
    replays: int | None = None,
    overrides: Sequence[str] = (),
    carbon: WantedCarbon = None,
) -> tuple[list[ReplayForecast], list[str]]:
    """Replay strategies of each study below the given places.

    Args:
        places: Folders with results, in which a grid was recorded.
        labels: Strategies to replay; by default all strategies of the study that train more than once and
            can be replayed.
        replays: Number of replays of each strategy; by default :data:`REPLAYS`, or :data:`ADAPTIVE_REPLAYS`.
        overrides: ``KEY=VALUE`` texts that change the study, such as ``strategies.random.trials=5``.
        carbon: Settings for CO2, whose PUE applies; by default those of the study.

    Returns:
        The forecasts, and remarks on strategies that cannot be replayed.

    Raises:
        ResultsError: There is no recorded grid, or a named strategy suggests a point that the grid does not have.
        SpecError: A change of the study is not valid, or a strategy is unknown.
    """
    found: list[ReplayForecast] = []
    remarks: list[str] = []
    for recording in read_grids(places, carbon):
        study = load_study(recording.study, overrides=overrides) if overrides else recording.study
        for label in labels or study.strategies:
            try:
                one = _forecast(recording, study, label, replays, is_named=bool(labels))
            except ResultsError as error:
                if labels:
                    raise ResultsError(f"{label}: {error}") from None
                remarks.append(f"{study.name}: {label} is left out: {error}")
                continue
            found.append(one)
    return found, remarks


def _forecast(
    recording: GridRecording, study: Study, label: str, replays: int | None, *, is_named: bool
) -> ReplayForecast:
    name, given = study.labelled(label)
    if problem := STRATEGIES.problem(name):
        raise SpecError([Fault("--strategy", "", problem)])
    if label in recording.study.strategies and not is_all_built_in(name, given):
        raise ResultsError(f"it is not built in, and results never import other code; name it with -s {name} instead")
    kind = STRATEGIES.load(name)

    def strategy(seed: int) -> Strategy:
        made: Strategy = kind.from_table(study.search_space, given, seed)
        return made

    first = strategy(0)
    if not is_named and first.expected_trials() == 1:
        raise ResultsError("it trains once and searches for nothing")
    count = replays or (REPLAYS if isinstance(first, OneRound) else ADAPTIVE_REPLAYS)
    executors = [ReplayExecutor(repeat) for repeat in recording.repeats]
    sums = _Sums(recording)
    for number in range(count):
        place = number % len(executors)
        sums.add(place, executors[place].run(strategy(number)))
    chosen = _really_chosen(recording, study, label)
    same = [
        executor.run(strategy(repeat.seed))[-1].best == real
        for executor, repeat in zip(executors, recording.repeats, strict=True)
        if (real := chosen.get(repeat.seed)) is not None
    ]
    return sums.forecast(study.name, label, len(same), sum(same))


def _really_chosen(recording: GridRecording, study: Study, label: str) -> dict[int, PointKey]:
    """Return the point that the strategy chose in each repeat in which it was run with the same options."""
    folder = next((one for one in recording.folders if one.path.name == label), None)
    if folder is None or folder.read_study().labelled(label) != study.labelled(label):
        return {}
    log = TrialLog.read(folder.trials)
    chosen = {seed: log.chosen(repeat) for repeat, seed in enumerate(study.seeds()) if repeat in log.planned}
    return {seed: key_of(trial.point) for seed, trial in chosen.items() if trial is not None}


class _Sums:
    """Collects replayed searches."""

    def __init__(self, recording: GridRecording) -> None:
        self._recording = recording
        #: For each replay: repeat, points chosen after each trial, and energy up to it in microjoules.
        self._replays: list[tuple[int, list[PointKey | None], list[float | None]]] = []

    def add(self, place: int, trials: Sequence[ReplayedTrial]) -> None:
        """Add a replay of the repeat at a place."""
        energies: list[float | None] = []
        spent: float | None = 0.0
        for trial in trials:
            spent = None if spent is None or trial.energy_uj is None else spent + trial.energy_uj
            energies.append(spent)
        self._replays.append((place, [trial.best for trial in trials], energies))

    def forecast(self, study: str, label: str, searches_run: int, same_choice: int) -> ReplayForecast:
        """Return the forecast from all replays."""
        longest = max(len(chosen) for _, chosen, _ in self._replays)
        final = [self._score(place, chosen[-1]) for place, chosen, _ in self._replays]
        known = [score for score in final if score is not None]
        return ReplayForecast(
            study=study,
            strategy=label,
            metric=self._recording.metric.name,
            metric_info=self._recording.metric,
            replays=len(self._replays),
            recorded_repeats=len(self._recording.repeats),
            trials=statistics.fmean(len(chosen) for _, chosen, _ in self._replays),
            validation_std=statistics.stdev(known) if len(known) > 1 else 0.0,
            curve=tuple(self._budget(number) for number in range(1, longest + 1)),
            searches_run=searches_run,
            same_choice=same_choice,
        )

    def _score(self, place: int, key: PointKey | None) -> float | None:
        return None if key is None else self._recording.score(self._recording.repeats[place], key)

    def _budget(self, trials: int) -> BudgetPoint:
        """Return the expected outcome of searches with at most so many trainings."""
        recording = self._recording
        count: Counter[tuple[int, PointKey | None]] = Counter()
        energies: list[float | None] = []
        for place, chosen, spent in self._replays:
            last = min(trials, len(chosen)) - 1
            count[place, chosen[last]] += 1
            energies.append(spent[last])
        scores = {one: score for one in count if (score := self._score(*one)) is not None}
        elsewhere = {one: value for one in scores if (value := recording.elsewhere[one[0]].get(one[1])) is not None}
        known = [uj for uj in energies if uj is not None]
        regrets = {one: recording.best_score[one[0]] - score for one, score in scores.items()}
        return BudgetPoint(
            trials=trials,
            training_kwh=recording.carbon.kwh(statistics.fmean(known)) if len(known) == len(energies) else None,
            validation=recording.metric.score(_weighted(scores, count)) if scores else None,
            elsewhere=recording.metric.score(_weighted(elsewhere, count)) if elsewhere else None,
            regret=_weighted(regrets, count) if regrets else None,
            found_best=sum(times for (place, key), times in count.items() if key == recording.best[place])
            / count.total(),
        )


def _weighted(values: Mapping[tuple[int, PointKey], float], count: Mapping[tuple[int, PointKey], int]) -> float:
    """Return the mean of at least one value, each as often as it occurred."""
    return sum(value * count[one] for one, value in values.items()) / sum(count[one] for one in values)
