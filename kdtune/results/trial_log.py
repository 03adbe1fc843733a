"""The trial log: the record of planned, attempted and evaluated trials from which a study is resumed.

Each event is a line in ``trials.jsonl``, which is appended and synced to disk:

``session``     A command starts to work on the strategy.
``suggestion``  The strategy suggests a training; contains everything that the training depends on.
``attempt``     An attempt of a trial starts; a retry or a resume makes another one.
``end``         An attempt ends: ``completed``, ``pruned``, ``failed`` or ``interrupted``.
``planned``     The strategy has suggested all trials of a repeat, and may have chosen one of them.
``evaluation_attempt``  An evaluation starts.
``evaluation``  The chosen model of a repeat has been evaluated on the test set.
``status``      The command stops working on the strategy; contains the reason.

Each line contains its own checksum and that of the line before it, so changed, missing and moved lines are detected.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from kdtune.errors import ResultsError
from kdtune.results.deployed_model import DeployedModel
from kdtune.results.documents import REMEDY
from kdtune.results.trial import EpochOutcome, Trial, best
from kdtune.results.trial_log_lines import EndStatus, StudyStatus, check_line
from kdtune.specs.search_space import Point
from kdtune.specs.suggestion import Suggestion
from kdtune.specs.trial_spec import TrialSpec
from kdtune.storage.journal import Journal, JournalError, LineChecksums
from kdtune.storage.records import as_record


@dataclass
class TrialLog:
    """A strategy's trial log, in memory and on disk.

    Attributes:
        path: The file.
        trials: Trials by id, in the order of suggestion.
        planned: Repeats of which all trials have been suggested.
        choices: By repeat, the id of the trial that the strategy itself chose.
        evaluations: The ``evaluation`` line of each repeat.
        evaluation_attempts: Number of evaluation attempts of each repeat.
        sessions: Ids of the sessions that worked on the strategy.
        status: Status in the last ``status`` line; None while a command works on the strategy, or after it was killed.
    """

    path: Path
    trials: dict[str, Trial] = field(default_factory=dict)
    planned: set[int] = field(default_factory=set)
    choices: dict[int, str] = field(default_factory=dict)
    evaluations: dict[int, dict[str, Any]] = field(default_factory=dict)
    evaluation_attempts: dict[int, int] = field(default_factory=dict)
    sessions: list[str] = field(default_factory=list)
    status: StudyStatus | None = None
    #: By identity of a training: the id that an earlier release gave to the same training.
    _earlier_ids: dict[str, str] = field(default_factory=dict, repr=False, compare=False)

    @classmethod
    def read(cls, path: Path) -> "TrialLog":
        """Read a log; a file that does not exist gives an empty log.

        Raises:
            ResultsError: A line is damaged; the message has the file and the line's number.
        """
        log = cls(path)
        try:
            for line in _journal(path).read():
                log._apply(line)
        except KeyError as error:
            raise ResultsError(f"{path}: damaged: trial {error} was started but never suggested; {REMEDY}") from None
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
                if line["status"] in ("completed", "pruned"):
                    reached = EpochOutcome(trial.val_accuracy, trial.val_loss, trial.val_objective)
                    trial.reached[trial.epochs] = reached
            case "planned":
                self.planned.add(line["repeat"])
                if line.get("chosen"):
                    self.choices[line["repeat"]] = self.trials[line["chosen"]].id
            case "evaluation_attempt":
                self.evaluation_attempts[line["repeat"]] = line["attempt"]
            case "evaluation":
                _ = self.trials[line["trial_id"]]  # raises KeyError for an unknown trial
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
        """Log that a command starts to work on the strategy."""
        self._append({"type": "session", "id": session_id})

    def suggestion(
        self, trial_id: str, repeat: int, seed: int, index: int, point: Point, spec: TrialSpec | None = None
    ) -> Trial:
        """Log a suggestion and return its trial. If the repeat has the same suggestion already, that trial is returned.

        Args:
            trial_id: Identity of the trial.
            repeat: Index of the repeat, from 0.
            seed: Seed of the repeat.
            index: Position among the suggestions of the repeat.
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
        trial = self.trials[known]
        if spec:  # the same training, but the files of its components may have moved since it was logged
            trial.point, trial.spec = point, spec
        return trial

    def resolve_earlier(self, resolved: Callable[[Suggestion, int], TrialSpec]) -> None:
        """Resolve the trials of a release that did not log everything that they depend on. They keep their ids.

        Args:
            resolved: Function that resolves a suggestion and a seed.
        """
        for trial in self.trials.values():
            if trial.spec is None:
                trial.spec = resolved(trial.suggestion, trial.seed)
                self._earlier_ids[trial.spec.identity] = trial.id

    def attempt(self, trial: Trial) -> int:
        """Log that an attempt starts, and return its number, from 1."""
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
        """Log that an attempt has ended. Nothing changes if it has ended already."""
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
        """Log that a completed trial has lost its weights, so that resuming the study trains it again."""
        trial.status = None
        self.end(trial, "interrupted", epochs=trial.epochs, error="its checkpoint was lost")

    def is_settled(self, repeats: int) -> bool:
        """Return whether nothing is left to do: all trials are planned and final, all chosen models evaluated."""
        tested = all(repeat in self.evaluations or self.chosen(repeat) is None for repeat in range(repeats))
        return tested and self.is_trained(repeats)

    def is_trained(self, repeats: int) -> bool:
        """Return whether no trial is left to run: all trials are planned and final."""
        return self.planned >= set(range(repeats)) and all(trial.is_final for trial in self.trials.values())

    def plan_complete(self, repeat: int, chosen: Trial | None = None) -> None:
        """Log that a strategy has suggested all trials of a repeat, and which of them it chose, if it did."""
        if repeat not in self.planned:
            line = {"type": "planned", "repeat": repeat}
            self._append({**line, "chosen": chosen.id} if chosen else line)

    def chosen(self, repeat: int) -> Trial | None:
        """Return the trial of a repeat whose model is chosen: by the strategy, or else the best one."""
        trial = self.trials.get(self.choices.get(repeat, ""))
        return trial if trial and trial.status == "completed" else best(self.of_repeat(repeat))

    def evaluation_attempt(self, repeat: int) -> int:
        """Log that an evaluation starts, and return its number, from 1."""
        attempt = self.evaluation_attempts.get(repeat, 0) + 1
        self._append({"type": "evaluation_attempt", "repeat": repeat, "attempt": attempt})
        return attempt

    def evaluation(
        self,
        repeat: int,
        trial_id: str,
        test: dict[str, float | None],
        deployed: DeployedModel | None = None,
    ) -> None:
        """Log the evaluation of a repeat's chosen model, and the form in which it is used if that is not float."""
        line = {"type": "evaluation", "repeat": repeat, "trial_id": trial_id, "test": test}
        self._append({**line, "deployed": as_record(deployed)} if deployed else line)

    def stopped(self, status: StudyStatus) -> None:
        """Log that the command stops working on the strategy."""
        self._append({"type": "status", "status": status})

    def of_repeat(self, repeat: int) -> list[Trial]:
        """Return the trials of a repeat, in the order of suggestion."""
        return [trial for trial in self.trials.values() if trial.repeat == repeat]


def _journal(path: Path) -> Journal[dict[str, Any]]:
    def checked(line: dict[str, Any]) -> dict[str, Any]:
        check_line(line)
        return line

    return Journal(path, checked, "trial record", REMEDY, LineChecksums.CHAINED)
