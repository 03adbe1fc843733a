"""Ctrl-C and SIGTERM within sections that must not be interrupted."""

import signal

import pytest

from kdtune.errors import StudyInterrupted
from kdtune.execution.interrupts import Interrupts


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_delayed_section_finishes_before_the_study_stops(number):
    interrupts, finished = Interrupts(), []
    before = signal.getsignal(number)
    with interrupts.watched():
        with pytest.raises(StudyInterrupted), interrupts.delayed():
            signal.raise_signal(number)
            finished.append(True)
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(number)
    assert finished and signal.getsignal(number) == before


def test_a_sigterm_that_another_handler_of_ctrl_c_swallows_is_remembered():
    """The handler of Tune stops trials and then returns without an error."""
    interrupts = Interrupts()
    with interrupts.watched():
        signal.signal(signal.SIGINT, lambda *_: None)
        signal.raise_signal(signal.SIGTERM)
        assert interrupts.requested


def test_a_part_of_a_delayed_section_can_be_interrupted():
    interrupts, finished = Interrupts(), []
    with interrupts.watched(), pytest.raises(KeyboardInterrupt), interrupts.delayed():
        with interrupts.allowed():
            signal.raise_signal(signal.SIGINT)
        finished.append(True)
    assert not finished


def test_a_delayed_interrupt_stops_the_next_part_that_can_be_interrupted():
    interrupts, begun = Interrupts(), []
    with interrupts.watched(), pytest.raises(StudyInterrupted), interrupts.delayed():
        signal.raise_signal(signal.SIGINT)
        with interrupts.allowed():
            begun.append(True)
    assert not begun


def test_a_delayed_section_of_a_stopping_study_does_not_stop_again():
    interrupts, finished = Interrupts(), []
    with interrupts.watched():
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
        with interrupts.delayed():  # for example to record the interrupted trials
            finished.append(True)
    assert finished
