"""Searcher that gives Ray Tune the trials of a plan."""

from typing import Any

from ray.tune.search import Searcher

from kdtune.execution.trial_events import TrialEvents
from kdtune.planning.trial_plan import Next


class PlanSearcher(Searcher):
    """Gives Tune the trials of a plan one by one.

    Tune's own record of a search is not used: after a kill it is older than the trial log.
    """

    def __init__(self, events: TrialEvents) -> None:
        """Use the trials of a plan.

        Args:
            events: Provides the trials.
        """
        super().__init__(metric="val_accuracy", mode="max")
        self._events: Any = events

    def suggest(self, trial_id: str) -> Any:
        """Return the config of the next trial, None while a round has to end first, or ``Searcher.FINISHED``."""
        match self._events.next():
            case Next.DONE:
                return Searcher.FINISHED
            case Next.WAIT:
                return None
            case trial:
                return self._events.config(trial)

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        """Do nothing, since a callback reports outcomes to the plan."""

    def save(self, checkpoint_path: str) -> None:
        """Do nothing; see the class."""

    def restore(self, checkpoint_path: str) -> None:
        """Do nothing; see the class."""

    def __getstate__(self) -> dict[str, Any]:
        # Tune pickles its searcher regularly; open files and threads of the plan cannot be pickled.
        return {**self.__dict__, "_events": None}
