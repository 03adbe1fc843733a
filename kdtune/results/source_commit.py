"""The commit of kdtune's own source code, which is noted in results."""

import os
import subprocess
from functools import cache
from pathlib import Path

_CHECKOUT = Path(__file__).resolve().parents[2]

#: Suffix of a commit whose files were changed since.
CHANGED = "+changes"


@cache
def commit(checkout: Path = _CHECKOUT) -> str | None:
    """Return the commit that is checked out in the folder of the package.

    Args:
        checkout: Folder with the package and the repository.

    Returns:
        Twelve digits, followed by :data:`CHANGED` if tracked files were changed since the commit; None for an installed
        package, or if git fails.
    """
    if not (checkout / ".git").exists():  # a folder, or in a further work tree a file
        return None
    command = ["git", "-C", str(checkout), "describe", "--always", "--exclude=*", "--abbrev=12", f"--dirty={CHANGED}"]
    # A git hook sets variables that point to its own repository.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    try:
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip() or None
