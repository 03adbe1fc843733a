"""Handling of SIGTERM while Ray starts: the handler of Ray would exit at once and leave processes of Ray behind."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def sigterm_handler_kept() -> Iterator[None]:
    """Keep the handler for SIGTERM within the context.

    In other threads than the main thread, Ray sets no handler.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    set_handler, before = signal.signal, signal.getsignal(signal.SIGTERM)

    def without_alarm(number: int, frame: Any) -> None:
        # The C++ code of Ray catches the signal first while Ray starts, and aborts three seconds later by an alarm.
        signal.alarm(0)
        if callable(before):
            before(number, frame)

    def unless_sigterm(number: int, handler: Any) -> Any:
        return signal.getsignal(number) if number == signal.SIGTERM else set_handler(number, handler)

    if callable(before):
        set_handler(signal.SIGTERM, without_alarm)
    signal.signal = unless_sigterm  # type: ignore[assignment]
    try:
        yield
    finally:
        signal.signal = set_handler
        # Set again, since the C++ code of Ray has replaced it by a handler that dumps its stack and aborts.
        signal.signal(signal.SIGTERM, before or signal.SIG_DFL)
