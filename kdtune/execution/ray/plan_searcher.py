"""How Ray Tune is told what to run: a thin searcher that asks the plan."""

from typing import Any

from ray.tune.search import Searcher

from kdtune.execution.trial_events import TrialEvents
from kdtune.planning.trial_plan import Next


class PlanSearcher(Searcher):
    """Hands Tune the plan's trials one by one.

    Tune's own record of a search is not used: after a kill it is behind what really happened, whereas the
    trial log is not.
    """

    def __init__(self, events: TrialEvents) -> None:
        """Search along a plan.

        Args:
            events: Hands out the plan's trials.
        """
        super().__init__(metric="val_accuracy", mode="max")
        self._events: Any = events

    def suggest(self, trial_id: str) -> Any:
        """The next trial's config; None while a round has to end first; ``Searcher.FINISHED`` when nothing is left."""
        match self._events.next():
            case Next.DONE:
                return Searcher.FINISHED
            case Next.WAIT:
                return None
            case trial:
                return self._events.config(trial)

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        """Nothing: the runner's callback takes outcomes to the plan."""

    def save(self, checkpoint_path: str) -> None:
        """Nothing: see the class."""

    def restore(self, checkpoint_path: str) -> None:
        """Nothing: see the class."""

    def __getstate__(self) -> dict[str, Any]:
        # Tune pickles its searcher now and then; the plan's open files and threads are not part of that.
        return {**self.__dict__, "_events": None}
