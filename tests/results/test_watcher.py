"""Errors in a watcher do not affect the study."""

import logging

import pytest

from kdtune.errors import MachineError, StudyInterrupted
from kdtune.results.watcher import ContainedWatcher, Watcher, contained


class Telling(Watcher):
    """Records its calls, and raises a given exception."""

    draws_bars = True

    def __init__(self, error=None):
        self.heard, self.error = [], error

    def message(self, text):
        self.heard.append(text)
        if self.error:
            raise self.error

    def trials_planned(self, trials):
        self.heard.append(trials)


def test_calls_are_passed_on():
    watcher = Telling()
    outside = ContainedWatcher(watcher)
    outside.message("starting")
    outside.trials_planned(trials=3)
    outside.ended()
    assert watcher.heard == ["starting", 3] and outside.draws_bars


def test_exceptions_of_every_method_of_a_watcher_are_contained():
    names = [name for name in vars(Watcher) if not name.startswith("_") and name != "draws_bars"]
    assert len(names) > 8 and vars(ContainedWatcher(Watcher())).keys() == {"draws_bars", *names}


@pytest.mark.parametrize("error", [RuntimeError("dashboard down"), ConnectionError("no route"), MachineError("x")])
def test_a_failing_method_is_logged_once_with_its_traceback_and_not_called_again(error, log_records):
    watcher = Telling(error)
    outside = ContainedWatcher(watcher)
    for text in ("one", "two"):
        outside.message(text)
        outside.trials_planned(2)
    assert watcher.heard == ["one", 2, 2]
    [record] = log_records
    assert (record.levelno, record.exc_info[1]) == (logging.ERROR, error)
    assert "Telling.message failed and is not called again" in record.getMessage()


@pytest.mark.parametrize("error", [StudyInterrupted("enough"), KeyboardInterrupt()])
def test_a_watcher_may_stop_the_study(error, log_records):
    outside = ContainedWatcher(Telling(error))
    for _ in range(2):
        with pytest.raises(StudyInterrupted):
            outside.message("one")
    assert not log_records


def test_exceptions_of_any_callable_are_contained(log_records):
    from functools import partial

    contained(partial(int, "no number"))()
    assert "partial" in log_records[0].getMessage()
