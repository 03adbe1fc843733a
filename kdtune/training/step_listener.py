"""Lets whoever runs a training in its own thread act between two steps: read meters, look at a budget, stop."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_listener: ContextVar[Callable[[], object] | None] = ContextVar("kdtune_step_listener", default=None)


@contextmanager
def called_at_each_step(listener: Callable[[], object]) -> Iterator[None]:
    """Call a function after each step that is taken inside, in the thread that takes it.

    Args:
        listener: Should return at once nearly always. An exception that it raises ends the training.
    """
    token = _listener.set(listener)
    try:
        yield
    finally:
        _listener.reset(token)


def step_taken() -> None:
    """Call the listener, if there is one."""
    listener = _listener.get()
    if listener is not None:
        listener()
