"""Handling of Ctrl-C and SIGTERM while a study runs, with sections that are never interrupted."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from kdtune.errors import StudyInterrupted


class Interrupts:
    """Remembers whether the user asked to stop."""

    def __init__(self) -> None:
        self.requested = False
        self._is_delayed = False

    def check(self) -> None:
        """Stop here if the user asked to stop.

        Raises:
            StudyInterrupted: The user did.
        """
        if self.requested:
            raise StudyInterrupted("interrupted")

    def _on_sigint(self, *_: Any) -> None:
        self.requested = True
        if not self._is_delayed:
            raise KeyboardInterrupt

    def _on_sigterm(self, *_: Any) -> None:
        # The present handler of Ctrl-C (that of Tune while trials run) handles SIGTERM as well.
        self.requested = True
        signal.raise_signal(signal.SIGINT)

    @contextmanager
    def delayed(self) -> Iterator[None]:
        """Delay interrupts to the end of the context: an interrupted import, for example, leaves half a module behind.

        Raises:
            StudyInterrupted: At the end of the outermost context, if the user asked to stop within it.
        """
        before, self._is_delayed, requested_before = self._is_delayed, True, self.requested
        try:
            yield
        finally:
            self._is_delayed = before
        if not before and not requested_before:
            self.check()

    @contextmanager
    def allowed(self) -> Iterator[None]:
        """Allow interrupts within a part of a context that delays them.

        Raises:
            StudyInterrupted: At the beginning, if the user has already asked to stop.
        """
        before, self._is_delayed = self._is_delayed, False
        try:
            self.check()
            yield
        finally:
            self._is_delayed = before

    @contextmanager
    def watched(self) -> Iterator["Interrupts"]:
        """Handle both signals within the context; only the main thread receives signals, others need no handler."""
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
                # None means a handler that was not set from Python and cannot be restored.
                signal.signal(number, handler if handler is not None else signal.SIG_DFL)
