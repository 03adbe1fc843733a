"""The replay executor: runs a strategy on recorded trials instead of training, by the same protocol."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

from kdtune.errors import ResultsError
from kdtune.execution.replay.recorded_trials import PointKey, Reached, RecordedRepeat, RecordedTrial, key_of
from kdtune.specs.suggestion import Suggestion
from kdtune.strategies.base import Outcome, Strategy


@dataclass(frozen=True)
class ReplayedTrial:
    """A trial of a replayed search, or a part of one that stops early and may go on later.

    Attributes:
        key: Its point.
        energy_uj: Its energy in microjoules, in proportion to its epochs if it is a part; None if unknown.
        best: The point that the search would choose if it ended after this trial; None if none has succeeded yet. After
            the last trial of a strategy that chooses its model itself, this is the strategy's choice.
    """

    key: PointKey
    energy_uj: float | None
    best: PointKey | None


class ReplayExecutor:
    """Answers the suggestions of a strategy from the trials of one recorded repeat.

    Only recorded points count; nothing is interpolated. As in a study, the strategy receives the outcomes of a round
    when all of its trials have ended, in the order of its suggestions, and a point that is suggested again is
    answered from its record.
    """

    def __init__(self, repeat: RecordedRepeat) -> None:
        """Prepare replays of one repeat.

        Args:
            repeat: Its recorded trials.
        """
        self._recorded = repeat.trials

    def run(self, strategy: Strategy) -> list[ReplayedTrial]:
        """Run a strategy to its end, and return its trials in order.

        Args:
            strategy: The strategy, which has not been asked yet.

        Raises:
            ResultsError: The strategy suggests a point that the recorded grid does not have, or chooses a point that it
                did not train to its end.
        """
        outcomes: dict[tuple[PointKey, int | None], Outcome] = {}
        trained: dict[PointKey, int] = {}
        trials: list[ReplayedTrial] = []
        best: tuple[float, float, int] | None = None
        ended: set[PointKey] = set()
        chosen: PointKey | None = None
        while suggestions := strategy.ask():
            told = []
            for suggestion in suggestions:
                key = key_of(suggestion.as_point())
                recorded = self._found(key, suggestion)
                target = _target(suggestion, recorded)
                if (key, target) not in outcomes:
                    reached, epochs = self._trained(strategy, suggestion, recorded, target)
                    outcomes[key, target] = _outcome(suggestion, reached)
                    if reached is not None and epochs is None:
                        ended.add(key)
                        rank = (-reached.score, reached.val_loss, len(trials))
                        if best is None or rank < best:
                            best, chosen = rank, key
                    trials.append(ReplayedTrial(key, _energy(recorded, trained.get(key, 0), epochs), chosen))
                    trained[key] = epochs or 0
                told.append(outcomes[key, target])
            strategy.tell(told)
        if trials and (choice := _choice(strategy, ended)) is not None:
            trials[-1] = replace(trials[-1], best=choice)
        return trials

    def _found(self, key: PointKey, suggestion: Suggestion) -> RecordedTrial:
        if key in self._recorded:
            return self._recorded[key]
        point = ", ".join(f"{name} {value}" for name, value in suggestion.as_point().items())
        raise ResultsError(f"{point} is not in the recorded grid, so it cannot be replayed")

    def _trained(
        self, strategy: Strategy, suggestion: Suggestion, recorded: RecordedTrial, target: int | None
    ) -> tuple[Reached | None, int | None]:
        """Return what a trial reaches, and after how many epochs it stops early; None if it does not."""
        if recorded.last is None:
            return None, None
        if target is not None:
            return recorded.epochs[target - 1], target
        if not strategy.judges_epochs:
            return recorded.last, None
        _require_epochs(recorded)
        for epoch, reached in enumerate(recorded.epochs, start=1):
            if not strategy.report(suggestion, epoch, reached.score) and epoch < len(recorded.epochs):
                return reached, epoch
        return recorded.last, None


def _choice(strategy: Strategy, ended: Collection[PointKey]) -> PointKey | None:
    """Return the point that a strategy chooses itself among those trained to their end; None for the best one."""
    choice = strategy.choice() if strategy.chooses else None
    if choice is None:
        return None
    key = key_of(choice.as_point())
    if key not in ended:
        raise ResultsError(f"{strategy}: choice() returned {choice.as_point()}, which was not trained to its end")
    return key


def _target(suggestion: Suggestion, recorded: RecordedTrial) -> int | None:
    """Return the number of epochs after which a suggestion stops a trial; None if it trains to its end."""
    if suggestion.until == 1 or recorded.last is None:
        return None
    _require_epochs(recorded)
    target = max(1, round(suggestion.until * len(recorded.epochs)))
    return target if target < len(recorded.epochs) else None


def _require_epochs(recorded: RecordedTrial) -> None:
    if not recorded.epochs:
        raise ResultsError("the epochs of a trial were not recorded completely, so it cannot be stopped early")


def _outcome(suggestion: Suggestion, reached: Reached | None) -> Outcome:
    if reached is None:
        return Outcome(suggestion, None, None)
    return Outcome(suggestion, reached.val_accuracy, reached.val_loss, reached.score)


def _energy(recorded: RecordedTrial, before: int, epochs: int | None) -> float | None:
    """Return the energy of training some epochs of a trial, all of which take the same energy.

    Args:
        recorded: The trial.
        before: Number of epochs that it had trained before.
        epochs: Number of epochs after which it stops; None for all.
    """
    if recorded.energy_uj is None or (epochs is None and not before):
        return recorded.energy_uj
    whole = len(recorded.epochs)
    return recorded.energy_uj * ((epochs or whole) - before) / whole


def searched_keys(points: Sequence[dict[str, object]]) -> list[PointKey]:
    """Return the keys of the points of a search space."""
    return [key_of(Suggestion.model_validate({"values": point}).as_point()) for point in points]
