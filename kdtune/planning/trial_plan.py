"""The order of a strategy's trials over all repeats, from its suggestions and the trial log."""

from collections import deque
from collections.abc import Sequence
from enum import Enum
from typing import Any

from kdtune.catalog.builtin import LOSSES, STRATEGIES
from kdtune.errors import ResultsError, SpecError
from kdtune.results.documents import REMEDY
from kdtune.results.flat_points import flat_trial_id
from kdtune.results.folder import StrategyFolder
from kdtune.results.trial import Trial
from kdtune.results.trial_log import TrialLog
from kdtune.specs.study import Study
from kdtune.specs.suggestion import Suggestion
from kdtune.specs.trial_spec import TrialSpec
from kdtune.strategies.base import OneRound, Outcome, Strategy
from kdtune.strategies.equal_cost import DistillationCost, EqualCost
from kdtune.tasks.loading import objective_of
from kdtune.training.resolution import resolved_recipe, resolved_trial


class Next(Enum):
    """Why no trial can be started now."""

    WAIT = "a round must end first"
    DONE = "no trials are left"


def make_strategies(study: Study, label: str) -> list[Strategy]:
    """Return the strategy that a label refers to, once for each repeat and with the seed of the repeat.

    Raises:
        SpecError: The strategy cannot use the study's search space.
    """
    name, given = study.labelled(label)
    kind = STRATEGIES.load(name)
    return [kind.from_table(study.search_space, given, seed) for seed in study.seeds()]


def settled_strategies(study: Study, cost: DistillationCost) -> Study:
    """Return the study with options that depend on the cost of a distillation replaced, as far as it is known."""
    settled = {
        label: {**study.strategies[label], **kind.settled(given, cost)} for label, kind, given in _equal_cost(study)
    }
    return study.model_copy(update={"strategies": {**study.strategies, **settled}})


def waits_for_energy(study: Study) -> bool:
    """Return whether options of a listed strategy depend on the energy of a distillation."""
    return any(kind.waits_for_energy(given) for _, kind, given in _equal_cost(study))


def _equal_cost(study: Study) -> list[tuple[str, type[EqualCost], dict[str, Any]]]:
    """Return label, class and options of each listed strategy whose epochs depend on the cost of a distillation."""
    listed = [(label, *study.labelled(label)) for label in study.strategies]
    loaded = [(label, STRATEGIES.load(name), given) for label, name, given in listed]
    return [(label, kind, given) for label, kind, given in loaded if issubclass(kind, EqualCost)]


def frozen_cost(earlier: Sequence[StrategyFolder]) -> DistillationCost:
    """Return the cost of a distillation that earlier strategies of the study recorded.

    It is not measured again, because the new value would be slightly different.
    """
    found = (folder.energy_multiple() for folder in earlier)
    return DistillationCost(energy=next((multiple for multiple in found if multiple is not None), None))


def remade(before: Study, study: Study, strategies: dict[str, list[Strategy]]) -> dict[str, list[Strategy]]:
    """Return the strategies, made again where the options in ``study`` differ from those in ``before``."""
    return {
        label: made if before.labelled(label) == study.labelled(label) else make_strategies(study, label)
        for label, made in strategies.items()
    }


def check_unchanged(folder: StrategyFolder, study: Study) -> None:
    """Check that a strategy can be resumed, because its files were not changed after it was started.

    Args:
        folder: Folder of the strategy.
        study: The study in ``run.toml``.

    Raises:
        ResultsError: One of the files was changed.
    """
    if changed := folder.differences(study):
        raise ResultsError(
            f"{folder.study_toml}: differs from {folder.study.run_toml} in {', '.join(changed)}, so one of them was "
            f"changed after it was written; restore the old value, or start again with 'kdtune study' and --fresh"
        )
    frozen, log = folder.read_study(), TrialLog.read(folder.trials)
    for trial in log.trials.values():
        if trial.id != _identity(frozen, trial):
            raise ResultsError(
                f"{log.path}: trial {trial.id} does not belong to the study in {folder.study_toml}, so one of them was "
                f"changed, or another release of kdtune wrote them; {REMEDY}"
            )


def _identity(study: Study, trial: Trial) -> str:
    """Return the identifier that a logged trial must have."""
    if trial.spec is None:
        return flat_trial_id(study, trial.point, trial.seed)
    try:
        return resolved_trial(study, trial.suggestion, trial.seed).identity
    except SpecError:  # its components are not installed here, which is reported for the study as a whole
        return trial.spec.identity


def uses_teacher(study: Study, label: str) -> bool:
    """Return whether the trainings of a strategy use the teacher; True if strategy and loss are both unknown."""
    name, _ = study.labelled(label)
    of_loss = LOSSES.facts_of(study.loss.name).get("needs_teacher", True)
    return bool(STRATEGIES.facts_of(name).get("needs_teacher", of_loss))


def epochs_of(study: Study, label: str) -> int:
    """Return the number of epochs of each training of a strategy; all of its trainings have the same."""
    first = make_strategies(study, label)[0]
    suggestions = first.suggestions() if isinstance(first, OneRound) else []
    return resolved_recipe(study, suggestions[0]).training.epochs if suggestions else study.training.epochs


def teacher_trainings(study: Study) -> int:
    """Return the number of trainings with a teacher in one repeat of a study, over all strategies."""
    return sum(
        made[0].expected_trials()
        for label in study.strategies
        if uses_teacher(study, label) and (made := make_strategies(study, label))
    )


class _Repeat:
    """State of one repeat, with the current round of its strategy."""

    def __init__(self, number: int, seed: int, strategy: Strategy) -> None:
        self.number = number
        self.seed = seed
        self.strategy = strategy
        self.round: list[tuple[Suggestion, Trial]] = []
        self.waiting: deque[Trial] = deque()
        self.asked = 0
        self.exhausted = False

    def hand_out(self) -> None:
        """Queue the trials of the round that have not ended."""
        # The same point twice in a round is one trial. A trial that has ended is answered from its record.
        once = {trial.id: trial for suggestion, trial in self.round if not self.has_ended(suggestion, trial)}
        self.waiting = deque(once.values())

    def has_ended(self, suggestion: Suggestion, trial: Trial) -> bool:
        """Return whether a trial need not train for a suggestion, because it has an outcome for it."""
        if not self.strategy.has_rungs:
            return trial.is_final
        return trial.status in ("completed", "failed") or epochs_until(suggestion, trial) in trial.reached

    def outcome(self, suggestion: Suggestion, trial: Trial) -> Outcome:
        """Return the outcome of a trial that has ended for a suggestion."""
        reached = trial.reached.get(epochs_until(suggestion, trial)) if self.strategy.has_rungs else None
        if reached is None:
            return Outcome(suggestion, trial.val_accuracy, trial.val_loss, trial.score)
        return Outcome(suggestion, reached.val_accuracy, reached.val_loss, trial.score_of(reached.deciding))

    def target_epochs(self, trial: Trial) -> int:
        """Return the number of epochs to which a trial of the current round trains."""
        targets = [epochs_until(suggestion, one) for suggestion, one in self.round if one is trial]
        return max(targets, default=trial.planned_epochs)


class Plan:
    """Hands out trials and takes their outcomes.

    A strategy receives the outcomes of a round once all its trials have ended, in the order of its suggestions, so its
    next suggestions do not depend on which trials ran at the same time. A trial that has ended according to the log is
    not run again.
    """

    def __init__(self, study: Study, strategies: list[Strategy], log: TrialLog) -> None:
        """Plan one strategy.

        Args:
            study: The study.
            strategies: The strategy of each repeat.
            log: The trial log; every suggestion is written to it.
        """
        self._study = study
        self._log = log
        log.resolve_earlier(self._resolved)
        self._repeats = [
            _Repeat(number, seed, strategy)
            for number, (seed, strategy) in enumerate(zip(study.seeds(), strategies, strict=True))
        ]

    def next(self) -> Trial | Next:
        """Return the next trial to run, or why there is none now."""
        for repeat in self._repeats:
            self._advance(repeat)
            if repeat.waiting:
                return repeat.waiting.popleft()
        return Next.DONE if self.done else Next.WAIT

    @property
    def done(self) -> bool:
        """Whether every strategy is exhausted and every trial has ended."""
        for repeat in self._repeats:
            self._advance(repeat)
        return all(repeat.exhausted for repeat in self._repeats)

    def again(self, trial: Trial) -> None:
        """Queue a trial again because its process died, which was not the fault of the trial."""
        self._repeats[trial.repeat].waiting.appendleft(trial)

    def all_again(self) -> None:
        """Queue all trials again that have not ended, because all workers are gone."""
        for repeat in self._repeats:
            repeat.hand_out()

    def keep_going(self, trial: Trial, epoch: int, value: float) -> bool:
        """Return whether a trial should continue after an epoch (counted from 1), according to its strategy.

        Args:
            trial: The running trial.
            epoch: The epoch that has ended.
            value: The metric on the validation images that decides the study.
        """
        repeat = self._repeats[trial.repeat]
        strategy = repeat.strategy
        if strategy.has_rungs and epoch >= repeat.target_epochs(trial):
            return False
        score = objective_of(self._study).score(value)
        return not strategy.judges_epochs or strategy.report(trial.suggestion, epoch, score)

    def target_epochs(self, trial: Trial) -> int | None:
        """Return the number of epochs after which a trial stops for now; None if it trains to its end."""
        repeat = self._repeats[trial.repeat]
        target = repeat.target_epochs(trial)
        return target if repeat.strategy.has_rungs and target < trial.planned_epochs else None

    def may_go_on(self, trial: Trial) -> bool:
        """Return whether a trial that was stopped may be suggested again and continue."""
        repeat = self._repeats[trial.repeat]
        return repeat.strategy.has_rungs and not repeat.exhausted and trial.status == "pruned"

    def expected_trials(self) -> int:
        """Return the expected number of trials over all repeats; exact for repeats that are completely planned."""
        total = 0
        for repeat in self._repeats:
            self._advance(repeat)
            known = len(self._log.of_repeat(repeat.number))
            total += known if repeat.exhausted else max(known, repeat.strategy.expected_trials())
        return total

    def _advance(self, repeat: _Repeat) -> None:
        """Ask the strategy for another round if the current one has ended."""
        while not repeat.exhausted and all(repeat.has_ended(*one) for one in repeat.round):
            if repeat.round:
                repeat.strategy.tell([repeat.outcome(*one) for one in repeat.round])
            suggestions = repeat.strategy.ask()
            repeat.round = [(suggestion, self._suggest(repeat, suggestion)) for suggestion in suggestions]
            repeat.hand_out()
            if not suggestions:
                repeat.exhausted = True
                self._log.plan_complete(repeat.number)

    def _resolved(self, suggestion: Suggestion, seed: int) -> TrialSpec:
        return resolved_trial(self._study, suggestion, seed)

    def _suggest(self, repeat: _Repeat, suggestion: Suggestion) -> Trial:
        spec = self._resolved(suggestion, repeat.seed)
        point = suggestion.as_point()
        trial = self._log.suggestion(spec.identity, repeat.number, repeat.seed, repeat.asked, point, spec)
        repeat.asked += 1
        return trial


def epochs_until(suggestion: Suggestion, trial: Trial) -> int:
    """Return the number of epochs to which a suggestion lets a trial train, at least 1."""
    return max(1, round(suggestion.until * trial.planned_epochs))
