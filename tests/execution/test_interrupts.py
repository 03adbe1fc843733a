"""Ctrl-C and SIGTERM while something must not be broken off."""

import signal

import pytest

from kdtune.errors import StudyInterrupted
from kdtune.execution.interrupts import Interrupts, sigterm_handler_kept


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_what_is_held_back_finishes_before_the_study_stops(number):
    interrupts, finished = Interrupts(), []
    before = signal.getsignal(number)
    with interrupts.watched():
        with pytest.raises(StudyInterrupted), interrupts.held_back():
            signal.raise_signal(number)
            finished.append(True)
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(number)
    assert finished and signal.getsignal(number) == before


def test_a_sigterm_that_another_handler_of_ctrl_c_swallows_is_remembered():
    """Tune's own stops trials, and then returns as if all were well."""
    interrupts = Interrupts()
    with interrupts.watched():
        signal.signal(signal.SIGINT, lambda *_: None)
        signal.raise_signal(signal.SIGTERM)
        assert interrupts.asked


def test_nobody_sets_a_handler_for_sigterm_meanwhile_and_others_may():
    ours, usr1 = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGUSR1)
    try:
        with sigterm_handler_kept():
            signal.signal(signal.SIGTERM, lambda *_: None)
            signal.signal(signal.SIGUSR1, signal.SIG_IGN)
        assert signal.getsignal(signal.SIGTERM) == ours and signal.getsignal(signal.SIGUSR1) == signal.SIG_IGN
    finally:
        signal.signal(signal.SIGUSR1, usr1)
