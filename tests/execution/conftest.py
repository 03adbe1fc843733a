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
    """The class of forked processes, for modules that define components: kdtune imports anew what they import."""
    return Forked
