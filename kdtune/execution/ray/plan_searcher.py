"""How Ray Tune is told what to run: a thin searcher that asks the plan."""

from collections.abc import Callable
from typing import Any

from ray.tune.search import Searcher

from kdtune.planning.trial_plan import Next, Plan
from kdtune.results.trial_log import Trial


class PlanSearcher(Searcher):
    """Hands Tune the plan's trials one by one.

    Tune's own record of a search is not used: after a kill it is behind what really happened, whereas the
    trial log is not.
    """

    def __init__(
        self, plan: Plan, config: Callable[[Trial], dict[str, Any]], give_up: Callable[[OSError], None]
    ) -> None:
        """Search along a plan.

        Args:
            plan: Decides what is next.
            config: The trainable's config for a trial.
            give_up: Is told if nothing can be taken down.
        """
        super().__init__(metric="val_accuracy", mode="max")
        self._plan = plan
        self._config = config
        self._give_up = give_up

    def suggest(self, trial_id: str) -> Any:
        """The next trial's config; None while a round has to end first; ``Searcher.FINISHED`` when nothing is left."""
        try:
            found = self._plan.next()  # which takes suggestions down
        except OSError as error:
            self._give_up(error)
            return Searcher.FINISHED
        match found:
            case Next.DONE:
                return Searcher.FINISHED
            case Next.WAIT:
                return None
            case trial:
                return self._config(trial)

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        """Nothing: the runner's callback takes outcomes to the plan."""

    def save(self, checkpoint_path: str) -> None:
        """Nothing: see the class."""

    def restore(self, checkpoint_path: str) -> None:
        """Nothing: see the class."""

    def __getstate__(self) -> dict[str, Any]:
        # Tune pickles its searcher now and then; the plan's open files and threads are not part of that.
        return {**self.__dict__, "_plan": None, "_config": None, "_give_up": None}
