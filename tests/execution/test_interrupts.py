"""Ctrl-C and SIGTERM while something must not be broken off."""

import signal

import pytest

from kdtune.errors import StudyInterrupted
from kdtune.execution.interrupts import Interrupts


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


def test_in_what_is_held_back_a_part_can_be_let_through():
    interrupts, finished = Interrupts(), []
    with interrupts.watched(), pytest.raises(KeyboardInterrupt), interrupts.held_back():
        with interrupts.let_through():
            signal.raise_signal(signal.SIGINT)
        finished.append(True)
    assert not finished


def test_what_was_asked_for_while_held_back_stops_the_next_part_that_is_let_through():
    interrupts, begun = Interrupts(), []
    with interrupts.watched(), pytest.raises(StudyInterrupted), interrupts.held_back():
        signal.raise_signal(signal.SIGINT)
        with interrupts.let_through():
            begun.append(True)
    assert not begun


def test_once_a_study_is_stopping_what_is_held_back_does_not_stop_again():
    interrupts, finished = Interrupts(), []
    with interrupts.watched():
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
        with interrupts.held_back():  # such as taking down what was interrupted
            finished.append(True)
    assert finished
