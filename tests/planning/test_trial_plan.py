import random
from collections.abc import Sequence

import pytest

from kdtune.errors import ResultsError, SpecError, UsageError
from kdtune.planning.resume_checks import check_unchanged
from kdtune.planning.step_kinds import kinds_of_epochs
from kdtune.planning.trial_plan import (
    Next,
    Plan,
    epochs_of,
    first_recipe,
    frozen_cost,
    make_strategies,
    remade,
    settled_strategies,
    teacher_trainings,
    uses_teacher,
    waits_for_energy,
)
from kdtune.results.folder import StrategyFolder, StudyFolder
from kdtune.results.trial import Trial
from kdtune.results.trial_log import TrialLog
from kdtune.specs import load_study
from kdtune.specs.suggestion import Suggestion
from kdtune.strategies.base import Outcome, Strategy
from kdtune.strategies.equal_cost import DistillationCost
from tests.recipes import identity_of, points_of
from tests.studies import small_study

STUDY = load_study(small_study(repeats=1))


def at(tau: int) -> Suggestion:
    return Suggestion(values={"tau": tau})


class Toy(Strategy):
    """Two points in the first round, then twice the best one's neighbour and the point before again."""

    rounds = 3

    def expected_trials(self) -> int:
        return 5

    def __init__(self) -> None:
        self.told: list[list[Outcome]] = []
        self.asked: list[list[Suggestion]] = []

    def ask(self) -> list[Suggestion]:
        if len(self.asked) == self.rounds:
            points = []
        elif not self.told:
            points = [at(2), at(6)]
        else:
            top = max((o for o in self.told[-1] if o.succeeded), key=lambda o: o.val_accuracy, default=self.told[-1][0])
            next_one = at(top.suggestion.values["tau"] + 1)
            points = [next_one, top.suggestion, next_one]
        if points:
            self.asked.append(points)
        return points

    def tell(self, outcomes: Sequence[Outcome]) -> None:
        self.told.append(list(outcomes))


class Listed(Toy):
    """Rounds that are known beforehand."""

    def __init__(self, *rounds: list[int]) -> None:
        super().__init__()
        self._rounds = list(rounds)

    def ask(self) -> list[Suggestion]:
        return [at(tau) for tau in self._rounds.pop(0)] if self._rounds else []


@pytest.fixture
def path(tmp_path):
    return tmp_path / "trials.jsonl"


def plan_of(path, *strategies: Strategy, study=STUDY) -> tuple[Plan, TrialLog]:
    log = TrialLog.read(path)
    return Plan(study, list(strategies), log), log


def handed_out(plan: Plan) -> list[Trial]:
    """All that may run now."""
    trials = []
    while isinstance(found := plan.next(), Trial):
        trials.append(found)
    return trials


def run(log: TrialLog, trial: Trial, status: str = "completed") -> None:
    """A trial whose accuracy follows from its point."""
    log.attempt(trial)
    known = {"val_accuracy": trial.point["tau"] / 100, "val_loss": 1.0} if status in ("completed", "pruned") else {}
    log.end(trial, status, epochs=3, **known)


def run_to_the_end(plan: Plan, log: TrialLog, order=lambda trials: None) -> list[Trial]:
    done = []
    while trials := handed_out(plan):
        order(trials)
        for trial in trials:
            run(log, trial)
        done += trials
    return done


def taus(trials: list[Trial]) -> list[int]:
    return [trial.point["tau"] for trial in trials]


# --- rounds ----------------------------------------------------------------------------------------------------


def test_all_trials_of_a_round_can_run_at_once(path):
    plan, _ = plan_of(path, Toy())
    assert taus(handed_out(plan)) == [2, 6]


def test_no_trial_can_start_while_a_round_is_running(path):
    toy = Toy()
    plan, log = plan_of(path, toy)
    first, second = handed_out(plan)
    assert plan.next() is Next.WAIT
    run(log, second)
    assert plan.next() is Next.WAIT
    assert toy.told == []
    assert not plan.done
    run(log, first)
    assert isinstance(plan.next(), Trial)


@pytest.mark.parametrize("seed", range(4))
def test_a_strategy_receives_outcomes_in_the_order_of_its_points(path, seed):
    toy = Toy()
    plan, log = plan_of(path, toy)
    run_to_the_end(plan, log, random.Random(seed).shuffle)
    assert [[outcome.suggestion for outcome in told] for told in toy.told] == toy.asked
    assert toy.asked == [[at(2), at(6)], [at(7), at(6), at(7)], [at(8), at(7), at(8)]]


def test_a_strategy_receives_the_outcome_of_each_point(path):
    toy = Toy()
    toy.rounds = 1
    plan, log = plan_of(path, toy)
    first, second = handed_out(plan)
    run(log, second, "failed")
    run(log, first)
    assert plan.next() is Next.DONE
    assert toy.told == [[Outcome(at(2), 0.02, 1.0), Outcome(at(6), None, None)]]


def test_the_same_point_twice_in_a_round_runs_once_and_gives_two_outcomes(path):
    strategy = Listed([4, 5, 4])
    plan, log = plan_of(path, strategy)
    trials = handed_out(plan)
    assert taus(trials) == [4, 5]
    for trial in trials:
        run(log, trial)
    assert plan.next() is Next.DONE
    assert [outcome.suggestion.values["tau"] for outcome in strategy.told[0]] == [4, 5, 4]


def test_a_point_of_an_earlier_round_is_answered_from_its_record(path):
    strategy = Listed([4, 5], [5, 6], [4, 5, 6])
    plan, log = plan_of(path, strategy)
    assert taus(run_to_the_end(plan, log)) == [4, 5, 6]
    assert [len(told) for told in strategy.told] == [2, 2, 3]
    assert strategy.told[2] == [Outcome(at(tau), tau / 100, 1.0) for tau in (4, 5, 6)]


def test_a_trial_keeps_the_place_of_its_first_suggestion(path):
    plan, log = plan_of(path, Listed([4, 5], [5, 6]))
    run_to_the_end(plan, log)
    assert [(t.point["tau"], t.index) for t in log.of_repeat(0)] == [(4, 0), (5, 1), (6, 3)]


def test_a_plan_is_done_only_after_its_last_trial(path):
    plan, log = plan_of(path, Listed([4]))
    [trial] = handed_out(plan)
    assert not plan.done
    assert log.planned == set()
    run(log, trial)
    assert plan.done
    assert plan.next() is Next.DONE
    assert log.planned == {0}


def test_a_strategy_without_points_is_done_at_once(path):
    plan, log = plan_of(path, Listed())
    assert plan.next() is Next.DONE
    assert log.planned == {0}


def test_a_pruned_trial_ends_its_round(path):
    strategy = Listed([4], [5])
    plan, log = plan_of(path, strategy)
    run(log, handed_out(plan)[0], "pruned")
    assert taus(handed_out(plan)) == [5]


def test_expected_trials_are_those_of_the_strategy_until_its_plan_is_complete(path):
    plan, log = plan_of(path, Listed([4, 5], [6]))
    assert plan.expected_trials() == 5
    for trial in handed_out(plan):
        run(log, trial)
    for trial in handed_out(plan):
        run(log, trial)
    assert plan.expected_trials() == 3


# --- going on --------------------------------------------------------------------------------------------------


def test_known_trials_are_not_handed_out_again_after_reading_the_log(path):
    plan, log = plan_of(path, Toy())
    for trial in handed_out(plan):
        run(log, trial)
    [seven] = handed_out(plan)
    run(log, seven)
    resumed_toy = Toy()
    resumed, log = plan_of(path, resumed_toy)
    assert taus(run_to_the_end(resumed, log)) == [8]
    assert [len(told) for told in resumed_toy.told] == [2, 3, 3]


@pytest.mark.parametrize("stop_after", range(5))
def test_an_interrupted_plan_proposes_the_same_points_as_an_uninterrupted_one(path, tmp_path, stop_after):
    whole = Toy()
    run_to_the_end(*plan_of(tmp_path / "whole.jsonl", whole))
    plan, log = plan_of(path, Toy())
    for _ in range(stop_after):
        found = plan.next()
        if isinstance(found, Trial):
            run(log, found)
    resumed = Toy()
    run_to_the_end(*plan_of(path, resumed))
    assert (resumed.asked, resumed.told) == (whole.asked, whole.told)
    assert len(TrialLog.read(path).trials) == len(TrialLog.read(tmp_path / "whole.jsonl").trials)


def test_an_interrupted_trial_is_handed_out_again(path):
    plan, log = plan_of(path, Listed([4, 5]))
    first, second = handed_out(plan)
    run(log, first, "interrupted")
    run(log, second)
    resumed, _ = plan_of(path, Listed([4, 5]))
    assert taus(handed_out(resumed)) == [4]


def test_a_trial_that_failed_is_not_tried_again(path):
    plan, log = plan_of(path, Listed([4]))
    run(log, handed_out(plan)[0], "failed")
    resumed, _ = plan_of(path, Listed([4]))
    assert resumed.next() is Next.DONE


def test_all_unfinished_trials_are_handed_out_again_if_all_workers_are_gone(path):
    plan, log = plan_of(path, Listed([4, 5, 6]))
    first, second, _ = handed_out(plan)
    run(log, first)
    log.attempt(second)
    plan.all_again()
    assert taus(handed_out(plan)) == [5, 6]


def begun(tmp_path) -> StrategyFolder:
    """A strategy's folder in which one trial was suggested."""
    folder = StudyFolder(tmp_path / "small").strategy("grid")
    folder.path.mkdir(parents=True)
    folder.write_study(STUDY, {})
    handed_out(plan_of(folder.trials, Listed([4]))[0])
    return folder


def test_a_strategy_can_be_resumed_unless_its_files_are_changed(tmp_path):
    folder = begun(tmp_path)
    check_unchanged(folder, STUDY)
    changed = STUDY.model_copy(update={"alpha": 0.25})
    with pytest.raises(ResultsError, match=rf"{folder.study_toml}: differs from .*run.toml in alpha \(.* 0.25 now\)"):
        check_unchanged(folder, changed)
    folder.write_study(changed, {})  # in both files alike
    with pytest.raises(
        ResultsError, match=rf"{folder.trials}: trial [0-9a-f]+ does not belong to the study in .*study.toml"
    ):
        check_unchanged(folder, changed)


def test_reading_a_finished_log_writes_nothing(path):
    run_to_the_end(*plan_of(path, Toy()))
    before = path.read_bytes()
    plan, _ = plan_of(path, Toy())
    assert plan.next() is Next.DONE
    assert path.read_bytes() == before


# --- repeats ---------------------------------------------------------------------------------------------------

TWO = load_study(small_study(repeats=2, seed=5))


def test_every_repeat_has_separate_trials(path):
    plan, log = plan_of(path, Listed([4]), Listed([4]), study=TWO)
    trials = handed_out(plan)
    assert [(trial.repeat, trial.seed) for trial in trials] == [(0, 5), (1, 6)]
    assert [trial.id for trial in trials] == [identity_of(TWO, {"tau": 4}, seed) for seed in (5, 6)]
    assert len(log.trials) == 2


def test_a_repeat_continues_while_another_one_waits(path):
    first, second = Listed([4], [6]), Listed([4], [6])
    plan, log = plan_of(path, first, second, study=TWO)
    one, two = handed_out(plan)
    run(log, two)
    assert [(trial.repeat, trial.point["tau"]) for trial in handed_out(plan)] == [(1, 6)]
    assert (len(first.told), len(second.told)) == (0, 1)
    run(log, one)
    assert [(trial.repeat, trial.point["tau"]) for trial in handed_out(plan)] == [(0, 6)]


def test_a_plan_is_done_when_every_repeat_is(path):
    plan, log = plan_of(path, Listed([4]), Listed([4]), study=TWO)
    one, two = handed_out(plan)
    run(log, one)
    assert not plan.done
    assert plan.next() is Next.WAIT
    run(log, two)
    assert plan.done
    assert log.planned == {0, 1}


def test_there_is_a_strategy_for_each_repeat_with_its_seed():
    assert [strategy.seed for strategy in make_strategies(TWO, "grid")] == [5, 6]


# --- labels ----------------------------------------------------------------------------------------------------

LABELLED = load_study(
    small_study(
        strategies={
            "hot": {"strategy": "fixed", "tau": 20},
            "alone": {"strategy": "none"},
            "alone-longer": {"strategy": "none", "longer": "flops"},
            "alone-equal": {"strategy": "none", "longer": "energy"},
            "again": {"strategy": "best-of", "trials": 3},
            "grid": {},
        }
    )
)

COST = DistillationCost(flops=1.9524, energy=1.4)


def test_the_strategy_of_a_label_is_made_with_its_options():
    first, second = make_strategies(LABELLED, "hot")
    assert first.ask() == second.ask() == [at(20)]


def test_the_strategy_of_a_label_decides_whether_a_teacher_is_needed():
    assert [label for label in LABELLED.strategies if uses_teacher(LABELLED, label)] == ["hot", "again", "grid"]


def test_a_method_needs_a_teacher_whatever_the_loss_of_the_study():
    labels = {
        "wttm": {},
        "searched": {"strategy": "tuned:wttm"},
        "restarts": {"strategy": "best-of", "of": "wttm", "trials": 2},
        "tuned": {"strategy": "tuned:normkd"},
        "grid": {},
        "best-of": {"trials": 2},
    }
    study = load_study(small_study(loss="ce", strategies=labels))
    assert [label for label in labels if uses_teacher(study, label)] == ["wttm", "searched", "restarts"]
    for label in ("wttm", "tuned:wttm", "searched", "restarts"):
        assert first_recipe(study, label).needs_teacher
    study = load_study(small_study(strategies=labels))
    assert all(uses_teacher(study, label) for label in labels)


def test_restarts_of_a_method_with_phases_have_epochs_with_and_without_a_teacher():
    study = load_study(small_study(strategies={"restarts": {"strategy": "best-of", "of": "annealing", "trials": 2}}))
    assert kinds_of_epochs(study, "restarts") == {True, False}


def test_trainings_with_a_teacher_are_counted_over_all_labels():
    assert teacher_trainings(LABELLED) == 1 + 3 + 3  # hot, again, and a grid of three points


def test_open_options_of_a_strategy_are_resolved_by_the_cost_of_a_distillation():
    settled = settled_strategies(LABELLED, COST)
    assert settled.strategies["alone-longer"] == {"strategy": "none", "longer": 1.9524}
    assert settled.strategies["alone-equal"] == {"strategy": "none", "longer": 1.4}
    done = {"alone-longer": None, "alone-equal": None}
    assert {**settled.strategies, **done} == {**LABELLED.strategies, **done}
    assert settled_strategies(settled, DistillationCost(flops=7.0, energy=7.0)) == settled
    assert identity_of(settled, {"loss": "ce"}, 0) == identity_of(LABELLED, {"loss": "ce"}, 0)


def test_only_strategies_with_resolved_options_are_made_again():
    settled = settled_strategies(LABELLED, COST)
    before = {label: make_strategies(LABELLED, label) for label in ("hot", "alone-longer")}
    after = remade(LABELLED, settled, before)
    assert after["hot"] is before["hot"]
    assert [points_of(one.ask()) for one in after["alone-longer"]] == [[{"loss": "ce", "longer": 1.9524}]] * 2


def test_a_recorded_cost_is_reused_for_later_strategies_of_a_folder(tmp_path):
    assert waits_for_energy(LABELLED) and not waits_for_energy(settled_strategies(LABELLED, COST))
    folders = [StrategyFolder(tmp_path / name) for name in ("before", "first", "second")]
    for folder, multiple in zip(folders, ({}, {"energy_multiple": 1.4}, {"energy_multiple": 2.5}), strict=True):
        folder.path.mkdir()
        folder.write_study(LABELLED, multiple)
    assert frozen_cost(folders[:1]) == frozen_cost([]) == DistillationCost()
    assert frozen_cost(folders) == DistillationCost(energy=1.4)
    folders[1].write_study(LABELLED, {"energy_multiple": "half"})
    with pytest.raises(ResultsError, match="energy_multiple"):
        frozen_cost(folders)


def test_each_label_has_its_own_number_of_epochs():
    settled = settled_strategies(LABELLED, COST)
    assert {label: epochs_of(settled, label)[0] for label in settled.strategies} == {
        "hot": 3, "alone": 3, "alone-longer": 6, "alone-equal": 4, "again": 3, "grid": 3
    }  # fmt: skip
    assert epochs_of(settled, "optuna") == (3, 3)
    assert epochs_of(settled, "alone") == (3, 0)
    assert epochs_of(settled, "annealing") == (3, 2)
    assert [kinds_of_epochs(settled, label) for label in ("optuna", "alone", "annealing")] == [
        {True}, {False}, {True, False}
    ]  # fmt: skip


# --- early stopping --------------------------------------------------------------------------------------------


class Judge(Listed):
    judges_epochs = True

    def report(self, suggestion: Suggestion, epoch: int, score: float) -> bool:
        return score > epoch / 10


def test_a_strategy_that_judges_epochs_can_stop_a_trial(path):
    plan, _ = plan_of(path, Judge([4]))
    [trial] = handed_out(plan)
    assert plan.keep_going(trial, 1, 0.5)
    assert not plan.keep_going(trial, 6, 0.5)


def test_a_strategy_that_does_not_judge_epochs_is_not_asked(path):
    strategy = Listed([4])
    strategy.report = lambda *_: pytest.fail("was asked")
    plan, _ = plan_of(path, strategy)
    assert plan.keep_going(handed_out(plan)[0], 1, 0.0)


# --- the objective ---------------------------------------------------------------------------------------------


def test_a_strategy_is_told_the_objective_and_judges_by_it(path):
    by_f1 = STUDY.model_copy(update={"objective": "f1"})
    judge = Judge([4])
    plan, log = plan_of(path, judge, study=by_f1)
    [trial] = handed_out(plan)
    assert trial.spec.setting.objective == "f1"
    log.attempt(trial)
    log.end(trial, "completed", epochs=3, val_accuracy=0.9, val_loss=1.0, val_objective=0.2)
    assert plan.next() is Next.DONE
    assert judge.told == [[Outcome(at(4), 0.9, 1.0, 0.2)]] and judge.told[0][0].score == 0.2


def test_without_an_objective_of_its_own_the_accuracy_is_the_score():
    assert Outcome(at(4), 0.9, 1.0).score == 0.9
    assert not Outcome(at(4), None, None).succeeded


# --- rungs -----------------------------------------------------------------------------------------------------


class Rungs(Listed):
    """The temperatures of each rung, which train to a third of the epochs and then to the end."""

    has_rungs = True

    def ask(self):
        left = len(self._rounds)
        return [one.model_copy(update={"until": 1 / 3 if left == 2 else 1.0}) for one in super().ask()]


def stopped(log, trial, epochs, accuracy):
    log.attempt(trial)
    log.end(trial, "completed" if epochs == 3 else "pruned", epochs=epochs, val_accuracy=accuracy, val_loss=1.0)


def test_a_trial_of_a_rung_stops_and_goes_on_in_the_next_one(path):
    strategy = Rungs([4, 5], [5])
    plan, log = plan_of(path, strategy)
    four, five = handed_out(plan)
    assert plan.target_epochs(five) == 1 and not plan.keep_going(five, 1, 0.5)
    stopped(log, four, 1, 0.4)
    stopped(log, five, 1, 0.5)
    assert handed_out(plan) == [five] and plan.target_epochs(five) is None
    assert plan.is_needed(four) and plan.keep_going(five, 2, 0.5)
    stopped(log, five, 3, 0.7)
    assert plan.next() is Next.DONE and not plan.is_needed(four)
    assert [[one.score for one in told] for told in strategy.told] == [[0.4, 0.5], [0.7]]
    assert plan.expected_trials() == 2


def test_a_resumed_plan_tells_each_rung_what_was_reached_in_it(path):
    plan, log = plan_of(path, Rungs([4, 5], [5]))
    four, five = handed_out(plan)
    stopped(log, four, 1, 0.4)
    stopped(log, five, 1, 0.5)
    [again] = handed_out(plan)
    log.attempt(again)
    log.end(again, "interrupted", epochs=2)
    resumed = Rungs([4, 5], [5])
    plan, log = plan_of(path, resumed)
    [five] = handed_out(plan)
    assert five.point == {"tau": 5} and [[one.score for one in told] for told in resumed.told] == [[0.4, 0.5]]
    stopped(log, five, 3, 0.7)
    last = Rungs([4, 5], [5])
    plan, log = plan_of(path, last)
    assert plan.next() is Next.DONE
    assert [[one.score for one in told] for told in last.told] == [[0.4, 0.5], [0.7]]


# --- suggestions that cannot be trained ------------------------------------------------------------------------


def test_a_suggestion_that_cannot_be_trained_names_the_strategy(path):
    plan, _ = plan_of(path, Listed([10**9]))
    with pytest.raises(SpecError, match=r"strategy Listed suggests \{'tau': 1000000000\}: tau: has to lie between"):
        plan.next()


# --- strategies that choose ------------------------------------------------------------------------------------


class Choosing(Listed):
    """Chooses a temperature whatever its result is."""

    chooses = True
    chosen = 4

    def choice(self):
        return at(self.chosen)


def test_a_strategy_may_choose_a_trial_that_is_not_the_best(path):
    plan, log = plan_of(path, Choosing([4, 5]))
    four, five = handed_out(plan)
    stopped(log, five, 3, 0.9)
    stopped(log, four, 3, 0.1)
    assert plan.is_needed(four) and plan.next() is Next.DONE and not plan.is_needed(four)
    assert log.chosen(0) is four
    again = TrialLog.read(log.path)
    assert again.chosen(0).point == {"tau": 4} and not again.is_settled(1)
    again.reopen(again.chosen(0))  # its checkpoint is lost; it is trained again before anything is chosen
    assert not again.is_trained(1)


def test_a_choice_that_was_not_trained_is_refused(path):
    strategy = Choosing([4, 5])
    strategy.chosen = 6
    plan, log = plan_of(path, strategy)
    for trial in handed_out(plan):
        stopped(log, trial, 3, 0.5)
    with pytest.raises(UsageError, match=r"strategy Choosing: choice\(\) returned \{'tau': 6\}, which was not trained"):
        plan.next()


@pytest.mark.parametrize(
    ("open_ones", "given", "bits"), [(False, {}, 8), (True, {}, 7), (True, {"reduce_range": False}, 8)]
)
def test_the_plan_decides_once_how_many_bits_the_activations_of_quantised_students_have(
    tmp_path, open_ones, given, bits
):
    study = load_study(small_study(repeats=1, strategies={"qat": given}))
    log = TrialLog.read(tmp_path / "trials.jsonl")
    trial = Plan(study, make_strategies(study, "qat"), log, reduce_range=open_ones).next()
    assert (trial.spec.recipe.quantisation.reduce_range is True) == (bits == 7)
    assert "reduce_range" not in trial.point or given
    # Where nothing is reduced, the trial is identified by what its strategy asked for.
    same = trial.id == identity_of(study, {"loss": "ce", "quantised": "qat", "after": "none", **given}, 0)
    assert same == (bits == 8)
