"""Trials: the suggestions of a strategy and their state, and the choice of the best one."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from kdtune.results.flat_points import flat_needs_teacher, flat_temperature
from kdtune.results.trial_log_lines import EndStatus
from kdtune.specs.search_space import Point
from kdtune.specs.study import Study
from kdtune.specs.suggestion import Suggestion
from kdtune.specs.trial_spec import TrialSpec
from kdtune.tasks.loading import objective_of

#: Statuses of trials that are not run again.
FINAL: frozenset[str] = frozenset({"completed", "pruned", "failed"})


@dataclass(frozen=True)
class EpochOutcome:
    """What a trial had reached after some epochs; see the fields of :class:`Trial`."""

    val_accuracy: float | None
    val_loss: float | None
    val_objective: float | None

    @property
    def deciding(self) -> float | None:
        """The metric on the validation images that decides the study."""
        return self.val_accuracy if self.val_objective is None else self.val_objective


@dataclass
class Trial:
    """One suggestion of one repeat, and the state of its training.

    Attributes:
        id: Hash of everything that the training depends on.
        repeat: Index of the repeat, from 0.
        seed: Seed of the repeat.
        index: Position among the suggestions of the repeat, from 0.
        point: The suggestion as a flat table.
        attempts: Number of attempts.
        status: How the last attempt ended; None while it runs, and before the first one.
        epochs: Number of epochs at the end of the last attempt that ended.
        val_accuracy: Validation accuracy after the last epoch, as a fraction; None unless completed or pruned.
        val_loss: Validation loss after the last epoch, in nats; None unless completed or pruned.
        val_objective: Value of the study's objective on the validation images; None if that is the accuracy.
        error: Why the trial failed.
        reached: By number of epochs, what the trial had reached where an attempt was completed or stopped.
        spec: Everything that the training depends on; None if an earlier release, which did not log it, started the
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
    val_objective: float | None = None
    error: str | None = None
    reached: dict[int, "EpochOutcome"] = field(default_factory=dict, compare=False, repr=False)
    spec: TrialSpec | None = None

    @property
    def suggestion(self) -> Suggestion:
        """The suggestion."""
        return Suggestion.from_point(self.point)

    @property
    def planned_epochs(self) -> int:
        """Number of epochs of the whole training; 0 if it has not been resolved."""
        return self.spec.recipe.training.epochs if self.spec else 0

    @property
    def temperature(self) -> str | None:
        """Name of the temperature; None without a teacher."""
        if self.spec is None:
            return flat_temperature(self.point)
        return self.spec.recipe.temperature.name if self.spec.recipe.temperature else None

    def needs_teacher(self, study: Study) -> bool:
        """Return whether the training uses a teacher.

        Args:
            study: The study of the trial.
        """
        return self.spec.recipe.needs_teacher if self.spec else flat_needs_teacher(study, self.point)

    def teacher_epochs(self, study: Study) -> int:
        """Return how many epochs of the last attempt that ended needed the teacher.

        Args:
            study: The study of the trial.
        """
        if self.spec is None:
            return self.epochs if self.needs_teacher(study) else 0
        return self.spec.recipe.teacher_epochs(self.epochs)

    @property
    def val_deciding(self) -> float | None:
        """The metric on the validation images that decides the study."""
        return self.val_accuracy if self.val_objective is None else self.val_objective

    @property
    def score(self) -> float | None:
        """The value that strategies maximise; None if :attr:`val_deciding` is None."""
        return self.score_of(self.val_deciding)

    def score_of(self, value: float | None) -> float | None:
        """Return what strategies maximise, for a value of the metric that decides the study."""
        if value is None or self.spec is None:  # accuracy decided the trials of earlier releases
            return value
        return objective_of(self.spec.setting).score(value)

    @property
    def is_final(self) -> bool:
        """Whether the trial will not be run again."""
        return self.status in FINAL

    def window(self, attempt: int) -> str:
        """Return the id of an attempt's window in the energy ledger."""
        return f"{self.id}/{attempt}"

    @property
    def windows(self) -> list[str]:
        """Ids of the windows of all attempts, and of their phases that have a window of their own, used or not."""
        own = [self.window(attempt) for attempt in range(1, self.attempts + 1)]
        return own + [phase_window(window, phase) for window in own for phase in PHASES]


#: Phases of a training that have a window of their own.
PHASES = ("synthesis",)


def phase_window(window: str, phase: str) -> str:
    """Return the id of the window of a phase of an attempt.

    Args:
        window: Id of the attempt's window.
        phase: One of :data:`PHASES`.
    """
    return f"{window}/{phase}"


#: Prefix of the ids of evaluation windows; no trial id has it.
EVALUATION = "evaluation-"


def evaluation_window(seed: int, attempt: int) -> str:
    """Return the id of the window in which a repeat's chosen model is evaluated."""
    return f"{EVALUATION}{seed}/{attempt}"


def best(trials: Iterable[Trial]) -> Trial | None:
    """Return the trial to choose: best by the objective, then lowest loss, then first suggested."""
    completed = [trial for trial in trials if trial.status == "completed"]

    def rank(trial: Trial) -> tuple[float, float, int]:
        assert trial.score is not None and trial.val_loss is not None
        return -trial.score, trial.val_loss, trial.index

    return min(completed, key=rank, default=None)
