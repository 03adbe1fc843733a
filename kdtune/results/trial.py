"""Trials: the suggestions of a strategy and their state, and the choice of the best one."""

from collections.abc import Iterable
from dataclasses import dataclass

from kdtune.results.flat_points import flat_needs_teacher, flat_temperature
from kdtune.results.trial_log_lines import EndStatus
from kdtune.specs.search_space import Point
from kdtune.specs.study import Study
from kdtune.specs.suggestion import Suggestion
from kdtune.specs.trial_spec import TrialSpec

#: An attempt that ended so is not run again.
FINAL: frozenset[str] = frozenset({"completed", "pruned", "failed"})


@dataclass
class Trial:
    """One suggestion of one repeat, and what became of it.

    Attributes:
        id: Hash of everything that the training depends on.
        repeat: Counted from 0.
        seed: The repeat's seed.
        index: Place among the repeat's suggestions.
        point: What was suggested, as a flat table.
        attempts: How often it was begun.
        status: How the last attempt ended; None while it runs or waits.
        epochs: Epochs done at the end of the last attempt that ended.
        val_accuracy: After the last epoch, a fraction; None unless completed or pruned.
        val_loss: As ``val_accuracy``, in nats.
        error: Why it failed.
        spec: Everything that the training depends on; None where an earlier release, which did not log it, began the
            trial and no plan has resolved it again.
    """

    id: str
    repeat: int
    seed: int
    index: int
    point: Point
    attempts: int = 0
    status: EndStatus | None = None
    epochs: int = 0
    val_accuracy: float | None = None
    val_loss: float | None = None
    error: str | None = None
    spec: TrialSpec | None = None

    @property
    def suggestion(self) -> Suggestion:
        """What was suggested."""
        return Suggestion.from_point(self.point)

    @property
    def planned_epochs(self) -> int:
        """Epochs of the whole training; 0 where it is not resolved."""
        return self.spec.recipe.training.epochs if self.spec else 0

    @property
    def temperature(self) -> str | None:
        """Name of what decides tau; None where there is no teacher."""
        if self.spec is None:
            return flat_temperature(self.point)
        return self.spec.recipe.temperature.name if self.spec.recipe.temperature else None

    def needs_teacher(self, study: Study) -> bool:
        """Whether the training, of a trial of this study, compares with a teacher."""
        return self.spec.recipe.needs_teacher if self.spec else flat_needs_teacher(study, self.point)

    @property
    def is_final(self) -> bool:
        """Whether it is not to be run again."""
        return self.status in FINAL

    def window(self, attempt: int) -> str:
        """Name of an attempt's window in the energy ledger."""
        return f"{self.id}/{attempt}"

    @property
    def windows(self) -> list[str]:
        """The windows of all attempts."""
        return [self.window(attempt) for attempt in range(1, self.attempts + 1)]


#: How the windows of evaluations begin; no trial is called so.
EVALUATION = "evaluation-"


def evaluation_window(seed: int, attempt: int) -> str:
    """Name of the window in which a repeat's chosen model is evaluated."""
    return f"{EVALUATION}{seed}/{attempt}"


def best(trials: Iterable[Trial]) -> Trial | None:
    """The trial to choose: highest validation accuracy, then lowest loss, then the first suggested."""
    completed = [trial for trial in trials if trial.status == "completed"]

    def rank(trial: Trial) -> tuple[float, float, int]:
        assert trial.val_accuracy is not None and trial.val_loss is not None
        return -trial.val_accuracy, trial.val_loss, trial.index

    return min(completed, key=rank, default=None)
