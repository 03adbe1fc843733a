"""Which state of kdtune's own source is at work, so that a result can be traced to it."""

import os
import subprocess
from functools import cache
from pathlib import Path

_CHECKOUT = Path(__file__).resolve().parents[2]

#: Behind a commit whose files were changed since.
CHANGED = "+changes"


@cache
def commit(checkout: Path = _CHECKOUT) -> str | None:
    """The commit that is checked out where the package lies, marked where tracked files were changed since.

    Args:
        checkout: The folder with the package and the repository.

    Returns:
        Twelve digits, and :data:`CHANGED` behind them or not; None of an installed package, or where git cannot tell.
    """
    if not (checkout / ".git").exists():  # a folder, or in a further work tree a file
        return None
    command = ["git", "-C", str(checkout), "describe", "--always", "--exclude=*", "--abbrev=12", f"--dirty={CHANGED}"]
    # A hook of git's names a repository of its own here.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    try:
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip() or None
