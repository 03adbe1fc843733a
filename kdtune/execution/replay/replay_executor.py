"""The replay executor: runs a strategy on recorded trials instead of training, by the same protocol."""

from collections.abc import Sequence
from dataclasses import dataclass

from kdtune.errors import ResultsError
from kdtune.execution.replay.recorded_trials import PointKey, Reached, RecordedRepeat, RecordedTrial, key_of
from kdtune.specs.suggestion import Suggestion
from kdtune.strategies.base import Outcome, Strategy


@dataclass(frozen=True)
class ReplayedTrial:
    """A trial of a replayed search.

    Attributes:
        key: Its point.
        energy_uj: Its energy in microjoules, in proportion to its epochs if it was stopped early; None if unknown.
        best: The point that the search would choose if it ended after this trial; None if none has succeeded yet.
    """

    key: PointKey
    energy_uj: float | None
    best: PointKey | None


class ReplayExecutor:
    """Answers the suggestions of a strategy from the trials of one recorded repeat.

    Only recorded points count; nothing is interpolated. As in a study, a round is told when all of its trials have
    ended, in the order of its suggestions, and a point that is suggested again is answered from its record.
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
            ResultsError: The strategy suggests a point that the recorded grid does not have.
        """
        outcomes: dict[PointKey, Outcome] = {}
        trials: list[ReplayedTrial] = []
        best: tuple[float, float, int] | None = None
        chosen: PointKey | None = None
        while suggestions := strategy.ask():
            told = []
            for suggestion in suggestions:
                key = key_of(suggestion.as_point())
                if key not in outcomes:
                    recorded = self._found(key, suggestion)
                    reached, epochs = self._trained(strategy, suggestion, recorded)
                    outcomes[key] = _outcome(suggestion, reached)
                    completed = reached is not None and epochs is None
                    if reached is not None and completed:
                        rank = (-reached.score, reached.val_loss, len(trials))
                        if best is None or rank < best:
                            best, chosen = rank, key
                    trials.append(ReplayedTrial(key, _energy(recorded, epochs), chosen))
                told.append(outcomes[key])
            strategy.tell(told)
        return trials

    def _found(self, key: PointKey, suggestion: Suggestion) -> RecordedTrial:
        if key in self._recorded:
            return self._recorded[key]
        point = ", ".join(f"{name} {value}" for name, value in suggestion.as_point().items())
        raise ResultsError(f"{point} is not in the recorded grid, so it cannot be replayed")

    def _trained(
        self, strategy: Strategy, suggestion: Suggestion, recorded: RecordedTrial
    ) -> tuple[Reached | None, int | None]:
        """Return what a trial reaches, and after how many epochs the strategy stops it; None if it does not."""
        if not strategy.judges_epochs or recorded.last is None:
            return recorded.last, None
        if not recorded.epochs:
            raise ResultsError("the epochs of a trial were not recorded completely, so no strategy can judge them")
        for epoch, reached in enumerate(recorded.epochs, start=1):
            if not strategy.report(suggestion, epoch, reached.score) and epoch < len(recorded.epochs):
                return reached, epoch
        return recorded.last, None


def _outcome(suggestion: Suggestion, reached: Reached | None) -> Outcome:
    if reached is None:
        return Outcome(suggestion, None, None)
    return Outcome(suggestion, reached.val_accuracy, reached.val_loss, reached.score)


def _energy(recorded: RecordedTrial, epochs: int | None) -> float | None:
    """Return the energy of a trial that was stopped after some epochs, all of which take the same energy."""
    if recorded.energy_uj is None or epochs is None:
        return recorded.energy_uj
    return recorded.energy_uj * epochs / len(recorded.epochs)


def searched_keys(points: Sequence[dict[str, object]]) -> list[PointKey]:
    """Return the keys of the points of a search space."""
    return [key_of(Suggestion.model_validate({"values": point}).as_point()) for point in points]
