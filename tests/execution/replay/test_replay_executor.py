"""Replays on hand-written records follow the protocol of a study."""

import pytest

from kdtune.errors import ResultsError
from kdtune.execution.replay.recorded_trials import Reached, RecordedRepeat, RecordedTrial, key_of, recorded_repeats
from kdtune.execution.replay.replay_executor import ReplayExecutor, searched_keys
from kdtune.planning.trial_plan import Next, Plan, make_strategies
from kdtune.results.trial import best
from kdtune.results.trial_log import TrialLog
from kdtune.specs import load_study
from kdtune.specs.suggestion import Suggestion
from kdtune.strategies.base import Strategy
from tests.results.several import ran
from tests.studies import small_study

TAUS = list(range(2, 21))

#: Accuracy of each tau; 9 is best.
ACCURACY = {tau: round(0.7 - abs(tau - 9) / 100 + (tau % 3) / 1000, 4) for tau in TAUS}


def trial(accuracy, energy_uj=100, epochs=()):
    point = {"tau": 2}
    reached = tuple(Reached(one, 1.0, one) for one in epochs)
    return RecordedTrial(point, None if accuracy is None else Reached(accuracy, 1.0, accuracy), reached, energy_uj)


def record(accuracies, **details):
    return RecordedRepeat(0, {key_of({"tau": tau}): trial(one, **details) for tau, one in accuracies.items()})


class Script(Strategy):
    """Asks for given rounds of temperatures and remembers what it is told."""

    def __init__(self, *rounds):
        self.rounds, self.told = list(rounds), []

    def ask(self):
        return [Suggestion(values={"tau": tau}) for tau in self.rounds.pop(0)] if self.rounds else []

    def tell(self, outcomes):
        self.told.append([(one.suggestion.values["tau"], one.score) for one in outcomes])


def test_rounds_are_told_in_order_and_a_repeated_point_is_answered_from_its_record():
    script = Script([4, 2], [2, 3])
    trials = ReplayExecutor(record({2: 0.5, 3: 0.7, 4: 0.6})).run(script)
    assert script.told == [[(4, 0.6), (2, 0.5)], [(2, 0.5), (3, 0.7)]]
    taus = [dict(one.key)["tau"] for one in trials]
    assert taus == [4, 2, 3] and [dict(one.best)["tau"] for one in trials] == [4, 4, 3]


def test_a_failed_trial_is_told_as_failed_costs_energy_and_is_never_chosen():
    script = Script([2], [3])
    trials = ReplayExecutor(record({2: None, 3: 0.7})).run(script)
    assert script.told == [[(2, None)], [(3, 0.7)]]
    assert [one.best for one in trials] == [None, key_of({"tau": 3})] and trials[0].energy_uj == 100


def test_only_recorded_points_count():
    with pytest.raises(ResultsError, match=r"tau 5\.5 is not in the recorded grid"):
        ReplayExecutor(record({2: 0.5})).run(Script([5.5]))


def test_a_strategy_that_chooses_its_model_is_replayed_with_its_choice():
    class Chooses(Script):
        chooses, wanted = True, 2

        def choice(self):
            return Suggestion(values={"tau": self.wanted}) if self.wanted else None

    recorded = ReplayExecutor(record({2: 0.5, 3: 0.7, 4: 0.6, 5: None}))
    trials = recorded.run(Chooses([2, 3], [4]))
    assert [dict(one.best)["tau"] for one in trials] == [2, 3, 2]
    script = Chooses([2, 3, 5])
    for script.wanted in (4, 5):
        script.rounds = [[2, 3, 5]]
        with pytest.raises(ResultsError, match=r"choice\(\) returned .*, which was not trained to its end"):
            recorded.run(script)
    script.rounds, script.wanted = [[2, 3]], None
    assert dict(recorded.run(script)[-1].best)["tau"] == 3


def test_a_strategy_that_judges_epochs_stops_trials_at_the_cost_of_their_epochs():
    class Stops(Script):
        judges_epochs = True

        def report(self, suggestion, epoch, score):
            return score >= 0.4 or epoch < 2

    epochs = (0.2, 0.3, 0.5, 0.8)
    script = Stops([2])
    [stopped] = ReplayExecutor(record({2: 0.8}, epochs=epochs)).run(script)
    assert (stopped.energy_uj, stopped.best, script.told) == (50, None, [[(2, 0.3)]])
    [whole] = ReplayExecutor(record({2: 0.8}, epochs=(0.5, 0.5, 0.5, 0.1))).run(Stops([2]))
    assert whole.energy_uj == 100 and whole.best, "the last epoch cannot be stopped"
    with pytest.raises(ResultsError, match="epochs of a trial were not recorded"):
        ReplayExecutor(record({2: 0.8})).run(Stops([2]))


@pytest.mark.parametrize("label", ["grid", "random", "optuna"])
def test_a_replay_is_the_search_that_a_study_makes(tmp_path, label):
    """A study's plan, whose trials are ended with the recorded accuracies, tries and chooses the same points."""
    space = {"tau": {"low": 2, "high": 20, "step": 1}}
    study = load_study(small_study(repeats=2, search_space=space))
    log = TrialLog.read(tmp_path / "trials.jsonl")
    plan = Plan(study, make_strategies(study, label), log)
    while isinstance(one := plan.next(), Next) is False:
        log.attempt(one)
        log.end(one, "completed", epochs=3, val_accuracy=ACCURACY[one.point["tau"]], val_loss=1.0)
    for repeat, strategy in enumerate(make_strategies(study, label)):
        replayed = ReplayExecutor(record(ACCURACY)).run(strategy)
        assert [one.key for one in replayed] == [key_of(one.point) for one in log.of_repeat(repeat)]
        assert replayed[-1].best == key_of(best(log.of_repeat(repeat)).point)


def test_trials_are_read_from_the_folders_of_all_strategies(tmp_path):
    points = [{"tau": tau} for tau in (2, 6, 10)]
    grid = ran(tmp_path, "grid", [0.6, 0.6], points=points, val=[[0.5, 0.6, 0.4], [0.3, 0.2, 0.1]], trial_s=[4, 5])
    random_tau = ran(tmp_path, "stochastic", [0.6, None], points=[{"temperature": "stochastic"}])
    first, second = recorded_repeats(grid.read_study(), [grid, random_tau])
    keys = searched_keys(grid.read_study().search_space.points())
    assert (first.best(keys), second.best(keys)) == (key_of({"tau": 6}), key_of({"tau": 2}))
    assert first.trials[keys[1]].last == Reached(0.6, 1.0, 0.6)
    assert first.trials[keys[0]].energy_uj == 4 * 14_000_000 and first.trials[keys[0]].epochs == ()
    stochastic = first.trials[key_of({"temperature": "stochastic"})]
    assert stochastic.last.val_accuracy == 0.5 and stochastic.energy_uj is None, "it was not metered"


def test_rungs_pay_for_the_epochs_that_they_add():
    from kdtune.specs.search_space import SearchSpace
    from kdtune.strategies.asha import Asha, Options

    curves = {2: (0.1, 0.2, 0.9), 3: (0.3, 0.3, 0.3), 4: (0.2, 0.5, 0.6)}
    recorded = RecordedRepeat(
        0, {key_of({"tau": tau}): trial(curve[-1], energy_uj=300, epochs=curve) for tau, curve in curves.items()}
    )
    space = SearchSpace.model_validate({"tau": {"values": [2, 3, 4]}})
    trials = ReplayExecutor(recorded).run(Asha(space, Options(reduction=3, rungs=2), 0))
    assert [(dict(one.key)["tau"], one.energy_uj) for one in trials] == [(2, 100), (3, 100), (4, 100), (3, 200)]
    assert [one.best for one in trials] == [None, None, None, key_of({"tau": 3})]
