"""Levels of other libraries' loggers."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def level_of(name: str, level: int) -> Iterator[None]:
    """Give a logger another level inside, and its own one afterwards."""
    logger = logging.getLogger(name)
    before = logger.level
    logger.setLevel(level)
    try:
        yield
    finally:
        logger.setLevel(before)
