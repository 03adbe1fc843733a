"""Ctrl-C and SIGTERM while a study runs: never lost, and never in the middle of what must not be broken off."""

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
        # Whoever handles Ctrl-C at the moment (Tune does while trials run) handles this as well.
        self.asked = True
        signal.raise_signal(signal.SIGINT)

    @contextmanager
    def held_back(self) -> Iterator[None]:
        """Let what is inside finish first: an import that is broken off leaves half a module behind.

        Raises:
            StudyInterrupted: At the end of the outermost one, if stopping was asked for meanwhile.
        """
        before, self._held, asked_before = self._held, True, self.asked
        try:
            yield
        finally:
            self._held = before
        if not before and not asked_before:
            self.check()

    @contextmanager
    def let_through(self) -> Iterator[None]:
        """Let a part of what is held back be broken off.

        Raises:
            StudyInterrupted: At the beginning, if stopping was asked for already.
        """
        before, self._held = self._held, False
        try:
            self.check()
            yield
        finally:
            self._held = before

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
