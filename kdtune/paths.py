"""Where kdtune keeps what outlives a study."""

import os
from pathlib import Path


def cache_dir() -> Path:
    """``$KDTUNE_CACHE_DIR``, by default ``~/.cache/kdtune``: teachers and decoded data sets."""
    return Path(os.environ.get("KDTUNE_CACHE_DIR") or Path.home() / ".cache" / "kdtune").absolute()
