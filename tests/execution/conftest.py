"""Fixtures of studies that are run."""

import pytest

from tests.execution.own_components import DATA, HEADS, LOSSES, NETS
from tests.forked import Forked


@pytest.fixture
def place(tmp_path, monkeypatch):
    """The working folder, with the source files of a user's own components."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("KDTUNE_CACHE_DIR", str(tmp_path / "cache"))
    for name, source in (("nets.py", NETS), ("heads.py", HEADS), ("data.py", DATA), ("losses.py", LOSSES)):
        (tmp_path / name).write_text(source)
    return tmp_path


@pytest.fixture
def forked():
    """Return the class of forked processes.

    Test modules that define components do not import it, since kdtune imports again what such a module imports.
    """
    return Forked
