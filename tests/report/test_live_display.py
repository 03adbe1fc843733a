import io

import pytest
from rich.console import Console

from kdtune.energy.ledger import read_folder
from kdtune.energy.meter import Reading
from kdtune.energy.several_nodes import account_of_nodes
from kdtune.report.live_display import LiveTable, PlainLines, Progress, display
from kdtune.report.units import energy
from kdtune.results.outcome import build_result
from kdtune.results.trial import Trial
from kdtune.results.watcher import Watcher
from kdtune.specs import load_study
from tests.recipes import spec_of
from tests.results.finished import CARBON, finished


def console(terminal=False):
    return Console(file=io.StringIO(), force_terminal=terminal, width=120)


def test_what_is_left_is_timed_from_the_pace_of_trials_and_the_starts_of_strategies():
    progress = Progress(planned={"grid": 3, "none": 1})
    progress.strategy_started("grid", 3, now_s=0.0)
    assert progress.eta_s() is None
    progress.trial_started(now_s=5.0)
    progress.trial_ended("grid", now_s=7.0)
    assert progress.eta_s() == 2 * 2.0 + 1 * 2.0 + 5.0  # two trials, then one in a strategy that has yet to start
    progress.trial_ended("grid", now_s=11.0)
    assert progress.eta_s() == 1 * 3.0 + 1 * 3.0 + 5.0


def test_what_is_left_is_unknown_while_no_start_of_a_strategy_has_been_timed():
    progress = Progress(planned={"grid": 4, "none": 1})
    progress.strategy_started("grid", 4, now_s=0.0)
    for now_s in (1.0, 2.0, 2.0):  # trials that failed in their setup never started, and one is over at once
        progress.trial_ended("grid", now_s)
    assert progress.eta_s() is None and progress.eta() == "ETA -"
    progress.strategy_started("none", 1, now_s=3.0)
    assert progress.eta_s() == (1 + 1) * 0.5


def test_two_readings_at_the_same_time_are_accepted(monkeypatch):
    monkeypatch.setattr("kdtune.report.live_display.time.monotonic", lambda: 5.0)
    drive(PlainLines(console()))


def begun(point):
    return Trial("abc", 0, 0, 0, point, attempts=1, spec=spec_of(load_study("digits-hkd"), point, 0))


def drive(watcher):
    trial = begun({"tau": 4})
    watcher.started(load_study("digits-hkd"), {"grid": 2})
    watcher.message("starting")
    watcher.strategy_started("grid", 2)
    watcher.trial_started(trial)
    watcher.epoch_done(trial, 30, {"epoch": 7, "val_accuracy": 0.5})
    watcher.energy({"abc/1": 3_600_000}, 7_200_000)
    seen = watcher._render() if isinstance(watcher, LiveTable) else None
    trial.status, trial.epochs, trial.val_accuracy = "completed", 30, 0.875
    watcher.trial_ended(trial)
    watcher.strategy_ended("grid")
    watcher.ended()
    return seen


def test_a_trial_that_just_began_shows_the_epochs_of_its_own_training():
    watcher = LiveTable(console(terminal=True))
    watcher.started(load_study("digits-hkd"), {"none": 1})
    watcher.strategy_started("none", 1)
    watcher.trial_started(begun({"loss": "ce", "longer": 1.5}))
    plain = Console(file=io.StringIO(), width=120)
    plain.print(watcher._render())
    watcher.ended()
    assert "0/45" in plain.file.getvalue()


def test_in_a_pipe_each_trial_is_a_plain_line_with_an_eta():
    out = console()
    drive(display(out))
    lines = out.file.getvalue().splitlines()
    assert "grid 1/2: tau 4, seed 0, 30 epochs, completed, validation 87.5 %; ETA 0:00" in lines
    assert not any("\x1b" in line for line in lines)


def test_in_a_pipe_the_teachers_training_is_about_ten_lines():
    out = console()
    watcher = display(out)
    for epochs in (3, 200):
        for epoch in range(1, epochs + 1):
            for _ in range(2):  # an epoch may be seen several times
                watcher.teacher_epoch(epochs, {"epoch": epoch, "val_accuracy": epoch / 1000})
    watcher.teacher_epoch(30, {"epoch": 8, "val_accuracy": 0.5})  # and others never
    lines = out.file.getvalue().splitlines()
    assert lines.pop() == "training the teacher: epoch 8/30, validation 50.0 %"
    assert lines[:3] == [f"training the teacher: epoch {n}/3, validation 0.{n} %" for n in (1, 2, 3)]
    assert [line.split()[4] for line in lines[3:]] == [f"{epoch}/200," for epoch in range(20, 201, 20)]


def test_on_a_terminal_a_table_shows_the_running_trials_their_epoch_watts_and_energy():
    out = console(terminal=True)
    watcher = display(out)
    assert isinstance(watcher, LiveTable)
    rendered = drive(watcher)
    plain = Console(file=io.StringIO(), width=120)
    plain.print(rendered)
    text = plain.file.getvalue()
    for words in ("abc", "7/30", "50.0", "3.6 J", "0/2 trials", "ETA"):
        assert words in text


def test_a_download_is_shown_before_the_table_with_a_bar_on_terminals_only():
    for terminal in (True, False):
        out = console(terminal)
        watcher = display(out)
        watcher.message("downloading cifar100 (169 MB) to /data")
        assert "downloading cifar100 (169 MB) to /data ...\n" in out.file.getvalue()
        assert watcher.draws_bars is terminal
    assert not Watcher().draws_bars


def test_quiet_shows_nothing():
    out = console()
    watcher = display(out, quiet=True)
    assert type(watcher) is Watcher
    drive(watcher)
    assert out.file.getvalue() == ""


def test_a_failed_trial_tells_why():
    out = console()
    watcher = PlainLines(out)
    trial = Trial("abc", 0, 0, 0, {"tau": 4}, attempts=1, status="failed", error="DivergedError: the loss became nan")
    watcher.strategy_started("grid", 1)
    watcher.trial_started(trial)
    watcher.trial_ended(trial)
    assert "failed, DivergedError: the loss became nan" in out.file.getvalue()


def test_a_strategy_that_goes_on_counts_what_was_done_before():
    progress = Progress(planned={"grid": 6})
    progress.strategy_started("grid", 6, now_s=0.0, ended=4)
    progress.trial_started(now_s=1.0)
    progress.trial_ended("grid", now_s=3.0)
    assert progress.ended["grid"] == 5 and progress.eta_s() == 2.0


def test_trials_with_the_same_id_count_in_each_strategy():
    """A trial of a search may be that of another one, with the same point and seed."""
    watcher = PlainLines(console())
    watcher.started(load_study("digits-hkd"), {"grid": 2, "random": 2})
    for strategy in ("grid", "random"):
        watcher.strategy_started(strategy, 2)
        trial = begun({"tau": 4})
        for _ in range(2):  # it was stopped, and went on
            watcher.trial_started(trial)
            trial.status, trial.epochs, trial.val_accuracy = "completed", 30, 0.875
            watcher.trial_ended(trial)
        watcher.strategy_ended(strategy)
    assert "random 1/2: " in watcher._console.file.getvalue()
    assert "2/2" not in watcher._console.file.getvalue()


@pytest.mark.parametrize("attribution", ["dedicated", "shared"])
def test_the_energy_on_display_is_what_the_result_charges_before_shared_inputs(tmp_path, attribution):
    folder = finished(tmp_path, attribution=attribution)
    account = account_of_nodes(read_folder(folder.ledger))
    reading = Reading(account.windows, account.buckets, account.buckets)
    cost = build_result(folder, CARBON).as_json()["cost"]
    own_kwh = cost["charged_kwh"] - CARBON.kwh(cost["shared_uj"]["session"])
    out = console(terminal=True)
    watcher = LiveTable(out)
    watcher.carbon_settings(CARBON)
    watcher.started(load_study("digits-hkd"), {"grid": 2})
    watcher.strategy_started("grid", 2)
    window = next(iter(account.windows))
    watcher.trial_started(Trial(window.partition("/")[0], 0, 0, 0, {"tau": 4}, attempts=1))
    watcher.energy(reading.windows, reading.charged_uj(dedicated=attribution == "dedicated"))
    plain = Console(file=io.StringIO(), width=120)
    plain.print(watcher._render())
    watcher.strategy_ended("grid")
    watcher.ended()
    assert f"study {energy(own_kwh)}," in plain.file.getvalue()
    assert f" {energy(CARBON.kwh(account.windows[window]))}\n" in plain.file.getvalue()
    assert f"{energy(own_kwh)} so far" in out.file.getvalue()


def test_bars_show_the_study_and_each_trial_and_a_line_the_best_so_far():
    watcher = LiveTable(console(terminal=True))
    watcher.started(load_study("digits-hkd"), {"grid": 3, "none": 1})
    watcher.strategy_started("grid", 3)
    for index, (tau, reached) in enumerate([(4, 0.5), (6, 0.75), (8, 0.625)]):
        trial = Trial(f"t{index}", 0, 0, index, {"tau": tau}, attempts=1, spec=begun({"tau": tau}).spec)
        watcher.trial_started(trial)
        watcher.epoch_done(trial, 30, {"epoch": 15, "val_accuracy": reached})
        if index < 2:
            trial.status, trial.val_accuracy = "completed", reached
            watcher.trial_ended(trial)
    plain = Console(file=io.StringIO(), width=120)
    plain.print(watcher._render())
    watcher.ended()
    text = plain.file.getvalue()
    assert "2/4 trials of the study" in text and "best so far: 75.0 % at tau 6, seed 0" in text
    whole, one = [line for line in text.splitlines() if "━" in line]
    assert (whole.count("━"), one.count("━")) == (20, 6)  # half of each bar; a plain file shows no rest
