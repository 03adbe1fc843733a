"""Energy that a watcher receives while trials run, and checkpoints that are removed."""

import shutil
from types import SimpleNamespace

import pytest

from kdtune.energy.carbon import PAPER
from kdtune.energy.reading import Reading
from kdtune.execution.run_context import RunContext
from kdtune.execution.trial_events import TrialEvents
from kdtune.planning.budget import Budget, BudgetWatch
from kdtune.planning.trial_plan import Plan, make_strategies
from kdtune.results.folder import StrategyFolder
from kdtune.results.trial_log import TrialLog
from kdtune.results.watcher import Watcher
from kdtune.specs import load_study
from tests.studies import small_study


class _Listening(Watcher):
    def __init__(self):
        self.charged_uj = []

    def energy(self, by_window, charged_uj):
        self.charged_uj.append(charged_uj)


@pytest.mark.parametrize(("attribution", "charged_uj"), [("dedicated", 15), ("shared", 7)])
def test_a_watcher_is_given_the_charge_of_the_studys_attribution(tmp_path, attribution, charged_uj):
    buckets = {"trials": 1, "evaluation": 2, "orchestration": 4, "idle": 8, "other": 16}
    executor = SimpleNamespace(reading=lambda **_: Reading({}, buckets, buckets))
    study, watcher = load_study(small_study(attribution=attribution)), _Listening()
    budget = BudgetWatch(Budget(), PAPER, dedicated=study.is_dedicated)
    folder = StrategyFolder(tmp_path)
    context = RunContext(executor, watcher, budget, None)
    events = TrialEvents(study, folder, None, None, context, judges_epochs=False)
    events.read_energy()
    assert watcher.charged_uj == [charged_uj]


def test_checkpoints_of_a_trial_that_cannot_be_chosen_are_removed_once(tmp_path, monkeypatch):
    """Otherwise the file system would be asked about all earlier trials after each one."""
    removed = []
    monkeypatch.setattr(shutil, "rmtree", lambda place, **_: removed.append(place.name))
    study, folder = load_study(small_study(repeats=1)), StrategyFolder(tmp_path)
    log = TrialLog.read(folder.trials)
    plan = Plan(study, make_strategies(study, "grid"), log, None)
    context = RunContext(None, _Listening(), BudgetWatch(Budget(), PAPER, dedicated=True), None)
    events = TrialEvents(study, folder, plan, log, context, judges_epochs=False)
    trials = [events.next() for _ in range(3)]
    for trial, accuracy in zip(trials, (0.5, 0.7, 0.6), strict=True):
        events.started(trial)
        events.ended(trial, {"epoch": 3, "val_accuracy": accuracy, "val_loss": 1.0})
    first, _, third = (trial.id for trial in trials)
    assert removed == [first, third]
