"""Calls of components that are not built in, whose exceptions become messages that name the component."""

from collections.abc import Iterator
from contextlib import contextmanager

from kdtune.catalog.catalog import cause_of
from kdtune.errors import KdtuneError, UsageError


@contextmanager
def foreign_call(component: str, call: str, *passing: type[Exception]) -> Iterator[None]:
    """Convert an exception of the body, which calls code of another author.

    Args:
        component: Kind and name of the component, such as ``loss ./losses.py:mine``.
        call: What is called, such as ``ask()``.
        passing: Exceptions that are not the fault of the component.

    Raises:
        UsageError: The body raises any other exception; names the component, the exception and its place.
    """
    try:
        yield
    except (Exception, SystemExit) as error:
        if isinstance(error, (KdtuneError, *passing)):
            raise
        raise UsageError(f"{component}: {call} fails: {cause_of(error)}") from error
