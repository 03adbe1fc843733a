"""Temporary levels for the loggers of other libraries, to silence messages that do not concern users."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def level_of(name: str, level: int) -> Iterator[None]:
    """Set a logger's level inside the context and restore it afterwards.

    Args:
        name: Name of the logger.
        level: Level such as ``logging.ERROR``.
    """
    logger = logging.getLogger(name)
    before = logger.level
    logger.setLevel(level)
    try:
        yield
    finally:
        logger.setLevel(before)
