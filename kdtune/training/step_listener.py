"""A callback between training steps, with which the caller reads meters, checks a budget or stops the training."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_listener: ContextVar[Callable[[], object] | None] = ContextVar("kdtune_step_listener", default=None)


@contextmanager
def called_at_each_step(listener: Callable[[], object]) -> Iterator[None]:
    """Call a function after each training step in the ``with`` block, in the thread of the training.

    Args:
        listener: The function, which should usually return at once. An exception that it raises ends the training.
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
