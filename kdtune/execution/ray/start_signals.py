"""SIGTERM while Ray starts: Ray would set a handler of its own that exits at once, with half of Ray started."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def sigterm_handler_kept() -> Iterator[None]:
    """Keep the handler for SIGTERM inside.

    Other threads than the main one get no signals, and Ray sets no handler there.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    set_handler, before = signal.signal, signal.getsignal(signal.SIGTERM)

    def without_alarm(number: int, frame: Any) -> None:
        # Ray's code in C++ catches the signal first while Ray starts, and aborts three seconds later by an alarm.
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
        # Set again, since Ray's own code in C++ has put a handler below Python's that dumps its stack and aborts.
        signal.signal(signal.SIGTERM, before or signal.SIG_DFL)
