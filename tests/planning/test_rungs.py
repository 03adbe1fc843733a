"""Rounds whose trainings stop early are checked before they train."""

import pytest

from kdtune.errors import UsageError
from kdtune.planning.first_rounds import first_rounds
from kdtune.planning.trial_plan import Next, Plan
from kdtune.results.trial_log import TrialLog
from kdtune.specs import load_study
from kdtune.specs.suggestion import Suggestion
from kdtune.strategies.base import Strategy
from tests.studies import small_study

STUDY = load_study(small_study(repeats=1))
EPOCHS = STUDY.training.epochs


class Rungs(Strategy):
    """Rounds of pairs of a temperature and a part of the epochs."""

    has_rungs = True

    def __init__(self, *rounds):
        self._rounds = list(rounds)

    def expected_trials(self):
        return 2

    def ask(self):
        return [Suggestion(values={"tau": tau}, until=until) for tau, until in (self._rounds or [[]]).pop(0)]


def train(tmp_path, strategy):
    """Train everything that the strategy suggests, as far as it says."""
    log = TrialLog.read(tmp_path / "trials.jsonl")
    plan = Plan(STUDY, [strategy], log)
    while (trial := plan.next()) is not Next.DONE:
        epochs = plan.target_epochs(trial) or EPOCHS
        log.attempt(trial)
        status = "completed" if epochs == EPOCHS else "pruned"
        log.end(trial, status, epochs=epochs, val_accuracy=0.5, val_loss=1.0)
    return log


@pytest.mark.parametrize(
    ("rounds", "message"),
    [
        ([[(4, 1 / 3), (4, 2 / 3)]], r"lets \{'tau': 4\} stop after 1 and after 2 epochs in one round"),
        ([[(4, 2 / 3)], [(4, 1 / 3)]], r"lets \{'tau': 4\} stop after 1 epoch, but it has trained for 2"),
        ([[(4, 1 / 3), (5, 1 / 3)], [(5, 2 / 3)]], "none of its trainings reached the last epoch"),
    ],
)
def test_a_round_that_cannot_train_as_it_says_is_refused(tmp_path, rounds, message):
    with pytest.raises(UsageError, match=f"strategy Rungs: .*{message}"):
        train(tmp_path, Rungs(*rounds))


def test_a_place_that_was_reached_is_answered_from_the_record(tmp_path):
    rounds = [[(4, 1 / 3)], [(4, 2 / 3)], [(4, 1 / 3), (5, 1.0)]]
    log = train(tmp_path, Rungs(*rounds))
    assert [(trial.attempts, trial.epochs) for trial in log.trials.values()] == [(2, 2), (1, 3)]


def test_a_strategy_without_rungs_may_not_stop_a_training(tmp_path):
    strategy = Rungs([(4, 0.5)])
    strategy.has_rungs = False
    with pytest.raises(UsageError, match=r"suggests \{'tau': 4\} until 0.5 of its epochs, which only .* has_rungs"):
        train(tmp_path, strategy)


def test_it_is_found_before_anything_is_trained(tmp_path):
    (tmp_path / "mine.py").write_text(
        "from kdtune.specs.suggestion import Suggestion\n"
        "from kdtune.strategies.base import OneRound\n\n\n"
        "class Mine(OneRound):\n"
        "    def suggestions(self):\n"
        "        return [Suggestion(values={'tau': tau}, until=0.5) for tau in (2, 4)]\n"
    )
    study = load_study(small_study(strategies={"mine": {"strategy": f"{tmp_path}/mine.py:Mine"}}))
    _, [fault] = first_rounds(study, ["mine"], "study.toml")
    assert fault.key == "strategies.mine" and "has_rungs = True" in fault.problem
