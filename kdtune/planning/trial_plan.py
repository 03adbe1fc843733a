"""The order of a strategy's trials over all repeats, from its suggestions and the trial log."""

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import replace
from enum import Enum
from functools import partial
from typing import Any

from kdtune.catalog.builtin import LOSSES, OPTION_CATALOGS, STRATEGIES
from kdtune.errors import SpecError, UsageError
from kdtune.planning.rungs import check_end, check_round, epochs_until
from kdtune.results.folder import StrategyFolder
from kdtune.results.trial import Trial
from kdtune.results.trial_log import TrialLog
from kdtune.specs.study import Study
from kdtune.specs.suggestion import Suggestion
from kdtune.specs.trial_spec import Recipe, TrialSpec
from kdtune.strategies.base import Outcome, Strategy
from kdtune.strategies.equal_cost import DistillationCost, EqualCost
from kdtune.strategies.guarded import GuardedStrategy
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
        UsageError: A strategy that is not built in fails.
    """
    name, given = study.labelled(label)
    make = STRATEGIES.load(name).from_table if name in STRATEGIES else partial(GuardedStrategy, name)
    return [make(study.search_space, given, seed) for seed in study.seeds()]


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


def uses_teacher(study: Study, label: str) -> bool:
    """Return whether the trainings of a strategy use the teacher; True if strategy and loss are both unknown."""
    of_loss = LOSSES.facts_of(study.loss.name).get("needs_teacher", True)
    facts = [STRATEGIES.facts_of(name) for name in strategies_of(study, label)]
    return bool(next((one["needs_teacher"] for one in facts if "needs_teacher" in one), of_loss))


def strategies_of(study: Study, label: str) -> list[str]:
    """Return the strategy behind a label, and those that its options name, as ``of`` of ``best-of``."""
    name, given = study.labelled(label)
    options = [key for key, catalog in OPTION_CATALOGS.items() if catalog is STRATEGIES and key in given]
    return [name, *(str(given[key]) for key in options)]


def epochs_of(study: Study, label: str) -> tuple[int, int]:
    """Return the epochs of each training of a strategy, and those that need the teacher; the same for all trainings."""
    recipe = first_recipe(study, label)
    if recipe is None:
        return study.training.epochs, study.training.epochs if uses_teacher(study, label) else 0
    return recipe.training.epochs, recipe.teacher_epochs(recipe.training.epochs)


def first_recipe(study: Study, label: str) -> Recipe | None:
    """Return the recipe of a strategy's first training; None if that depends on outcomes."""
    suggestions = make_strategies(study, label)[0].planned()
    return resolved_recipe(study, suggestions[0]) if suggestions else None


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

    def __init__(
        self,
        study: Study,
        strategies: list[Strategy],
        log: TrialLog,
        start_of: Callable[[str, int], str] | None = None,
        *,
        reduce_range: bool = False,
    ) -> None:
        """Plan one strategy.

        Args:
            study: The study.
            strategies: The strategy of each repeat.
            log: The trial log; every suggestion is written to it.
            start_of: From the label of another strategy and the number of a repeat to the identity of the trial that
                it chose; None if no training begins with the student of another one.
            reduce_range: Whether quantised students use 7 bits for activations where their strategy leaves that open.
        """
        self._study = study
        self._log = log
        self._start_of = start_of
        self._reduce_range = reduce_range
        log.resolve_earlier(lambda suggestion, seed: resolved_trial(study, suggestion, seed))
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

    def is_needed(self, trial: Trial) -> bool:
        """Return whether a trial that has ended may still continue, or be chosen although another one is better."""
        repeat, wanted = self._repeats[trial.repeat], set()
        wanted |= {"pruned"} if repeat.strategy.has_rungs else set()
        wanted |= {"completed"} if repeat.strategy.chooses else set()
        return not repeat.exhausted and trial.status in wanted

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
            check_round(repeat.strategy, repeat.round)
            repeat.hand_out()
            if not suggestions:
                check_end(repeat.strategy, self._log.of_repeat(repeat.number))
                repeat.exhausted = True
                self._log.plan_complete(repeat.number, self._choice(repeat))

    def _choice(self, repeat: _Repeat) -> Trial | None:
        """Return the trial that a strategy chooses itself; None if the best one is chosen."""
        choice = repeat.strategy.choice() if repeat.strategy.chooses else None
        if choice is None:
            return None
        point = choice.as_point()
        completed = [one for one in self._log.of_repeat(repeat.number) if one.status == "completed"]
        found = next((one for one in completed if one.point == point), None)
        if found is None:
            raise UsageError(f"{repeat.strategy}: choice() returned {point}, which was not trained to its end")
        return found

    def _resolved(self, repeat: _Repeat, suggestion: Suggestion) -> TrialSpec:
        start = None
        if quantisation := suggestion.quantisation:
            settled = quantisation.settled(reduce_range=self._reduce_range)
            suggestion = suggestion.model_copy(update={"quantisation": settled})
            start = self._start_of(quantisation.after, repeat.number) if self._start_of else None
        return resolved_trial(self._study, suggestion, repeat.seed, start)

    def _suggest(self, repeat: _Repeat, suggestion: Suggestion) -> Trial:
        point = suggestion.as_point()
        try:
            spec = self._resolved(repeat, suggestion)
        except SpecError as error:
            where = f"{repeat.strategy} suggests {point}"
            raise SpecError([replace(fault, where=where) for fault in error.faults]) from None
        trial = self._log.suggestion(spec.identity, repeat.number, repeat.seed, repeat.asked, point, spec)
        repeat.asked += 1
        return trial
