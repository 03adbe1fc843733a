"""Ctrl-C and SIGTERM, never lost: Ray's start swallows a KeyboardInterrupt now and then."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from kdtune.errors import StudyInterrupted


class Interrupts:
    """Remembers whether the user asked to stop."""

    def __init__(self) -> None:
        self.asked = False
        self._held = False

    def check(self) -> None:
        """Stop here if it was asked for.

        Raises:
            StudyInterrupted: It was.
        """
        if self.asked:
            raise StudyInterrupted("interrupted")

    def _on_sigint(self, *_: Any) -> None:
        self.asked = True
        if not self._held:
            raise KeyboardInterrupt

    def _on_sigterm(self, *_: Any) -> None:
        # Ray's code in C++ catches the signal first while Ray starts, and aborts three seconds later by an alarm.
        signal.alarm(0)
        # Whoever handles Ctrl-C at the moment (Tune does while trials run) handles this as well.
        self.asked = True
        signal.raise_signal(signal.SIGINT)

    @contextmanager
    def held_back(self) -> Iterator[None]:
        """Let what is inside finish first: an import that is broken off leaves half a module behind.

        Raises:
            StudyInterrupted: At the end, if stopping was asked for.
        """
        self._held = True
        try:
            yield
        finally:
            self._held = False
        self.check()

    @contextmanager
    def watched(self) -> Iterator["Interrupts"]:
        """Handle both signals inside; in a thread other than the main one, which gets none, do nothing."""
        if threading.current_thread() is not threading.main_thread():
            yield self
            return
        before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            signal.signal(signal.SIGINT, self._on_sigint)
            signal.signal(signal.SIGTERM, self._on_sigterm)
            yield self
        finally:
            for number, handler in before.items():
                # None stands for one that was not set from Python and cannot be set again.
                signal.signal(number, handler if handler is not None else signal.SIG_DFL)


@contextmanager
def sigterm_handler_kept() -> Iterator[None]:
    """Keep the handler for SIGTERM inside: ``ray.init`` would set one that exits at once, with half of Ray started.

    Other threads than the main one get no signals, and Ray sets no handler there.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    set_handler = signal.signal

    def unless_sigterm(number: int, handler: Any) -> Any:
        return signal.getsignal(number) if number == signal.SIGTERM else set_handler(number, handler)

    signal.signal = unless_sigterm  # type: ignore[assignment]
    try:
        yield
    finally:
        signal.signal = set_handler
        # Set again, since Ray's own code in C++ has put a handler below Python's that dumps its stack and aborts.
        signal.signal(signal.SIGTERM, signal.getsignal(signal.SIGTERM) or signal.SIG_DFL)
