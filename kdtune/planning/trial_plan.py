"""Which trial is next: strategies, repeats and the trial log brought together, free of Ray."""

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
from kdtune.training.resolution import resolved_recipe, resolved_trial


class Next(Enum):
    """What there is instead of a next trial."""

    WAIT = "a round has to end first"
    DONE = "nothing is left"


def make_strategies(study: Study, label: str) -> list[Strategy]:
    """The strategy behind a label for each repeat, each with the repeat's seed.

    Raises:
        SpecError: The strategy cannot work on the study's search space.
    """
    name, given = study.labelled(label)
    kind = STRATEGIES.load(name)
    return [kind.from_table(study.search_space, given, seed) for seed in study.seeds()]


def settled_strategies(study: Study, cost: DistillationCost) -> Study:
    """The study, and what its strategies leave open until a distillation's cost is known settled as far as it is."""
    settled = {
        label: {**study.strategies[label], **kind.settled(given, cost)} for label, kind, given in _equal_cost(study)
    }
    return study.model_copy(update={"strategies": {**study.strategies, **settled}})


def waits_for_energy(study: Study) -> bool:
    """Whether a strategy that a study lists cannot be settled before the energy of a distillation is known."""
    return any(kind.waits_for_energy(given) for _, kind, given in _equal_cost(study))


def _equal_cost(study: Study) -> list[tuple[str, type[EqualCost], dict[str, Any]]]:
    """The strategies that a study lists whose length depends on a cost: labels, classes and options."""
    listed = [(label, *study.labelled(label)) for label in study.strategies]
    loaded = [(label, STRATEGIES.load(name), given) for label, name, given in listed]
    return [(label, kind, given) for label, kind, given in loaded if issubclass(kind, EqualCost)]


def kept_cost(kept: Sequence[StrategyFolder]) -> DistillationCost:
    """A distillation's cost as strategies have frozen it that were run before: timed again it would be another one."""
    found = (folder.energy_multiple() for folder in kept)
    return DistillationCost(energy=next((multiple for multiple in found if multiple is not None), None))


def remade(before: Study, study: Study, strategies: dict[str, list[Strategy]]) -> dict[str, list[Strategy]]:
    """The strategies that were made for a study as it was before; again, where their options are settled only now."""
    return {
        label: made if before.labelled(label) == study.labelled(label) else make_strategies(study, label)
        for label, made in strategies.items()
    }


def check_unchanged(folder: StrategyFolder, study: Study) -> None:
    """Make sure that what was run in a folder can be gone on with.

    Args:
        folder: Of a strategy that was begun.
        study: As ``run.toml`` has it.

    Raises:
        ResultsError: One of the files that say what ran was changed since.
    """
    if changed := folder.differences(study):
        raise ResultsError(
            f"{folder.study_toml}: differs from {folder.study.run_toml} in {', '.join(changed)}, so one of them was "
            f"changed since it was written; put the old value back, or begin anew with 'kdtune study' and --fresh"
        )
    frozen, log = folder.read_study(), TrialLog.read(folder.trials)
    for trial in log.trials.values():
        if trial.id != _identity(frozen, trial):
            raise ResultsError(
                f"{log.path}: trial {trial.id} is none of the study in {folder.study_toml}, so one of them was changed "
                f"since, or another release of kdtune wrote them; {REMEDY}"
            )


def _identity(study: Study, trial: Trial) -> str:
    """What a logged trial's id has to be."""
    if trial.spec is None:
        return flat_trial_id(study, trial.point, trial.seed)
    try:
        return resolved_trial(study, trial.suggestion, trial.seed).identity
    except SpecError:  # its components are not installed here, which is reported for the study as a whole
        return trial.spec.identity


def uses_teacher(study: Study, label: str) -> bool:
    """Whether the trainings behind a label imitate the study's teacher; so they do if nothing is known of either."""
    name, _ = study.labelled(label)
    of_loss = LOSSES.facts_of(study.loss.name).get("needs_teacher", True)
    return bool(STRATEGIES.facts_of(name).get("needs_teacher", of_loss))


def epochs_of(study: Study, label: str) -> int:
    """Epochs of each training behind a label, all of which are equally long."""
    first = make_strategies(study, label)[0]
    if not isinstance(first, OneRound):
        return study.training.epochs
    return resolved_recipe(study, first.suggestions()[0]).training.epochs


def teacher_trainings(study: Study) -> int:
    """Trainings that ask the teacher in one repeat of a study, all of its strategies together."""
    return sum(
        made[0].expected_trials()
        for label in study.strategies
        if uses_teacher(study, label) and (made := make_strategies(study, label))
    )


class _Repeat:
    """The state of one repeat: its strategy's current round."""

    def __init__(self, number: int, seed: int, strategy: Strategy) -> None:
        self.number = number
        self.seed = seed
        self.strategy = strategy
        self.round: list[Trial] = []
        self.waiting: deque[Trial] = deque()
        self.asked = 0
        self.exhausted = False

    def hand_out(self) -> None:
        """Let what of the round has not ended wait for a worker."""
        # The same point twice in a round is one trial; one that has ended is answered from its record.
        once = {trial.id: trial for trial in self.round}
        self.waiting = deque(trial for trial in once.values() if not trial.is_final)


class Plan:
    """Hands out trials and takes their outcomes.

    A strategy is told of a round when all of it has ended, in the order of its suggestions, so that it proposes the
    same whatever ran beside what. A trial that the log knows the end of is not handed out again.
    """

    def __init__(self, study: Study, strategies: list[Strategy], log: TrialLog) -> None:
        """Plan one strategy.

        Args:
            study: The study.
            strategies: One for each repeat.
            log: What has been done so far; takes down every suggestion.
        """
        self._study = study
        self._log = log
        log.resolve_earlier(self._resolved)
        self._repeats = [
            _Repeat(number, seed, strategy)
            for number, (seed, strategy) in enumerate(zip(study.seeds(), strategies, strict=True))
        ]

    def next(self) -> Trial | Next:
        """The next trial to run, or why there is none now."""
        for repeat in self._repeats:
            self._advance(repeat)
            if repeat.waiting:
                return repeat.waiting.popleft()
        return Next.DONE if self.done else Next.WAIT

    @property
    def done(self) -> bool:
        """Whether every strategy is exhausted and every trial has ended for good."""
        for repeat in self._repeats:
            self._advance(repeat)
        return all(repeat.exhausted for repeat in self._repeats)

    def again(self, trial: Trial) -> None:
        """Hand a trial out once more: its process died, which says nothing of the trial."""
        self._repeats[trial.repeat].waiting.appendleft(trial)

    def all_again(self) -> None:
        """Hand out all that has not ended once more: whoever carried it out is gone."""
        for repeat in self._repeats:
            repeat.hand_out()

    def keep_going(self, trial: Trial, epoch: int, val_accuracy: float) -> bool:
        """Whether the trial's strategy wants it to go on after an epoch, counted from 1."""
        strategy = self._repeats[trial.repeat].strategy
        return not strategy.judges_epochs or strategy.report(trial.suggestion, epoch, val_accuracy)

    def expected_trials(self) -> int:
        """How many trials there will be over all repeats: exact where a repeat's plan is complete."""
        total = 0
        for repeat in self._repeats:
            self._advance(repeat)
            known = len(self._log.of_repeat(repeat.number))
            total += known if repeat.exhausted else max(known, repeat.strategy.expected_trials())
        return total

    def _advance(self, repeat: _Repeat) -> None:
        while not repeat.exhausted and all(trial.is_final for trial in repeat.round):
            if repeat.round:
                repeat.strategy.tell([_outcome(trial) for trial in repeat.round])
            suggestions = repeat.strategy.ask()
            repeat.round = [self._suggest(repeat, suggestion) for suggestion in suggestions]
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


def _outcome(trial: Trial) -> Outcome:
    return Outcome(trial.suggestion, trial.val_accuracy, trial.val_loss)
