"""The trial log: what was planned, tried and found. What a resumed study trusts.

Typed lines in ``trials.jsonl``, appended and forced to the disk one by one:

``session``     A command set to work on the strategy.
``suggestion``  The strategy suggested a training; with everything that it depends on.
``attempt``     A run of a trial began; a retry or a resume makes another.
``end``         An attempt ended: ``completed``, ``pruned``, ``failed`` or ``interrupted``.
``planned``     A repeat's strategy has nothing more to propose.
``evaluation_attempt``  An evaluation began.
``evaluation``  A repeat's chosen model met the test set.
``status``      The command stopped working on the strategy, and why.

Each names its checksum and that of the line before it: one that was changed, taken out or moved is noticed.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from kdtune.errors import ResultsError
from kdtune.results.documents import REMEDY
from kdtune.results.flat_points import flat_needs_teacher, flat_temperature
from kdtune.results.trial_log_lines import EndStatus, StudyStatus, check_line
from kdtune.specs.search_space import Point
from kdtune.specs.study import Study
from kdtune.specs.suggestion import Suggestion
from kdtune.specs.trial_spec import TrialSpec
from kdtune.storage.journal import Journal, JournalError, Seals
from kdtune.tasks.loading import objective_of

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
        val_objective: As ``val_accuracy``, the metric that decides the study; None where that is the accuracy.
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
    val_objective: float | None = None
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
    def val_deciding(self) -> float | None:
        """The metric on the validation images that decides the study."""
        return self.val_accuracy if self.val_objective is None else self.val_objective

    @property
    def score(self) -> float | None:
        """What strategies are told, the higher the better; None where :attr:`val_deciding` is."""
        value = self.val_deciding
        if value is None or self.spec is None:  # the trials of earlier releases were decided by their accuracy
            return value
        return objective_of(self.spec.setting).score(value)

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
    """The trial to choose: best by the study's objective, then lowest loss, then the first suggested."""
    completed = [trial for trial in trials if trial.status == "completed"]

    def rank(trial: Trial) -> tuple[float, float, int]:
        assert trial.score is not None and trial.val_loss is not None
        return -trial.score, trial.val_loss, trial.index

    return min(completed, key=rank, default=None)


@dataclass
class TrialLog:
    """A strategy's trial log, in memory and on disk.

    Attributes:
        path: The file.
        trials: By id, in the order of suggestion.
        planned: Repeats whose plan is complete.
        evaluations: By repeat: the ``evaluation`` line.
        evaluation_attempts: By repeat: how often its evaluation was begun.
        sessions: Ids of the sessions that worked on it.
        status: Of the last ``status`` line; None while a command is at work (or was killed).
    """

    path: Path
    trials: dict[str, Trial] = field(default_factory=dict)
    planned: set[int] = field(default_factory=set)
    evaluations: dict[int, dict[str, Any]] = field(default_factory=dict)
    evaluation_attempts: dict[int, int] = field(default_factory=dict)
    sessions: list[str] = field(default_factory=list)
    status: StudyStatus | None = None
    #: By identity: the id under which an earlier release began the same training.
    _earlier_ids: dict[str, str] = field(default_factory=dict, repr=False, compare=False)

    @classmethod
    def read(cls, path: Path) -> "TrialLog":
        """Read a log; one that does not exist is empty.

        Raises:
            ResultsError: A line is damaged; the message has the file and the line's number.
        """
        log = cls(path)
        try:
            for line in _journal(path).read():
                log._apply(line)
        except KeyError as error:
            raise ResultsError(f"{path}: damaged: trial {error} is begun and never suggested; {REMEDY}") from None
        except JournalError as error:
            raise ResultsError(str(error)) from None
        return log

    def _apply(self, line: dict[str, Any]) -> None:
        match line["type"]:
            case "session":
                self.sessions.append(line["id"])
                self.status = None
            case "suggestion":
                trial = Trial(line["trial_id"], line["repeat"], line["seed"], line["index"], line["point"])
                trial.spec = TrialSpec.model_validate(line["spec"]) if line.get("spec") else None
                self.trials.setdefault(trial.id, trial)
            case "attempt":
                trial = self.trials[line["trial_id"]]
                trial.attempts, trial.status = line["attempt"], None
            case "end":
                trial = self.trials[line["trial_id"]]
                trial.status, trial.epochs, trial.error = line["status"], line["epochs"], line["error"]
                trial.val_accuracy, trial.val_loss = line["val_accuracy"], line["val_loss"]
                trial.val_objective = line.get("val_objective")
            case "planned":
                self.planned.add(line["repeat"])
            case "evaluation_attempt":
                self.evaluation_attempts[line["repeat"]] = line["attempt"]
            case "evaluation":
                _ = self.trials[line["trial_id"]]  # it is relied on
                self.evaluations[line["repeat"]] = line
            case "status":
                self.status = line["status"]

    def _append(self, line: dict[str, Any]) -> None:
        try:
            _journal(self.path).append(line)
        except JournalError as error:
            raise ResultsError(str(error)) from None
        self._apply(line)

    def session(self, session_id: str) -> None:
        """A command sets to work."""
        self._append({"type": "session", "id": session_id})

    def suggestion(
        self, trial_id: str, repeat: int, seed: int, index: int, point: Point, spec: TrialSpec | None = None
    ) -> Trial:
        """A strategy suggested a training; the same one again in a repeat is the trial that there is.

        Args:
            trial_id: Its identity.
            repeat: Counted from 0.
            seed: The repeat's seed.
            index: Place among the repeat's suggestions.
            point: The suggestion as a flat table.
            spec: Everything that the training depends on; None as in the logs of earlier releases.
        """
        known = self._earlier_ids.get(trial_id, trial_id)
        if known not in self.trials:
            line = {
                "type": "suggestion",
                "trial_id": trial_id,
                "repeat": repeat,
                "seed": seed,
                "index": index,
                "point": point,
            }
            self._append({**line, "spec": spec.model_dump(mode="json")} if spec else line)
        return self.trials[known]

    def resolve_earlier(self, resolved: Callable[[Suggestion, int], TrialSpec]) -> None:
        """Resolve the trials of a release that did not log what they depend on; they keep their ids.

        Args:
            resolved: Resolves a suggestion under a seed.
        """
        for trial in self.trials.values():
            if trial.spec is None:
                trial.spec = resolved(trial.suggestion, trial.seed)
                self._earlier_ids[trial.spec.identity] = trial.id

    def attempt(self, trial: Trial) -> int:
        """An attempt begins; returns its number, counted from 1."""
        attempt = trial.attempts + 1
        self._append({"type": "attempt", "trial_id": trial.id, "repeat": trial.repeat, "attempt": attempt})
        return attempt

    def end(
        self,
        trial: Trial,
        status: EndStatus,
        *,
        epochs: int,
        val_accuracy: float | None = None,
        val_loss: float | None = None,
        val_objective: float | None = None,
        error: str | None = None,
    ) -> None:
        """An attempt ended; one that has ended stays as it is."""
        if trial.status is None:
            line = {
                "type": "end",
                "trial_id": trial.id,
                "repeat": trial.repeat,
                "attempt": trial.attempts,
                "status": status,
                "epochs": epochs,
                "val_accuracy": val_accuracy,
                "val_loss": val_loss,
                "error": error,
            }
            self._append(line if val_objective is None else {**line, "val_objective": val_objective})

    def reopen(self, trial: Trial) -> None:
        """A completed trial's weights are lost: a resumed study trains it again."""
        trial.status = None
        self.end(trial, "interrupted", epochs=trial.epochs, error="its checkpoint was lost")

    def is_settled(self, repeats: int) -> bool:
        """Whether there is nothing left to do: all planned, all ended for good, every choice tested."""
        tested = all(repeat in self.evaluations or best(self.of_repeat(repeat)) is None for repeat in range(repeats))
        return tested and self.is_trained(repeats)

    def is_trained(self, repeats: int) -> bool:
        """Whether no trial is left to run: all planned, all ended for good."""
        return self.planned >= set(range(repeats)) and all(trial.is_final for trial in self.trials.values())

    def plan_complete(self, repeat: int) -> None:
        """A repeat's strategy has nothing more to propose."""
        if repeat not in self.planned:
            self._append({"type": "planned", "repeat": repeat})

    def evaluation_attempt(self, repeat: int) -> int:
        """An evaluation begins; returns its number, counted from 1."""
        attempt = self.evaluation_attempts.get(repeat, 0) + 1
        self._append({"type": "evaluation_attempt", "repeat": repeat, "attempt": attempt})
        return attempt

    def evaluation(self, repeat: int, trial_id: str, test: dict[str, float | None]) -> None:
        """A repeat's chosen model met the test set."""
        self._append({"type": "evaluation", "repeat": repeat, "trial_id": trial_id, "test": test})

    def stopped(self, status: StudyStatus) -> None:
        """The command stops working on the strategy."""
        self._append({"type": "status", "status": status})

    def of_repeat(self, repeat: int) -> list[Trial]:
        """A repeat's trials, in the order of suggestion."""
        return [trial for trial in self.trials.values() if trial.repeat == repeat]


def _journal(path: Path) -> Journal[dict[str, Any]]:
    def checked(line: dict[str, Any]) -> dict[str, Any]:
        check_line(line)
        return line

    return Journal(path, checked, "trial record", REMEDY, Seals.CHAINED)
