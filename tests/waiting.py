"""Waiting for a condition without a limit: pytest ends a test that hangs (``timeout`` in pyproject.toml)."""

import time
from collections.abc import Callable


def wait_for(condition: Callable[[], object]) -> None:
    """Return once a condition holds; what raises in it, for example since a process has ended, ends the wait."""
    while not condition():
        time.sleep(0.02)
