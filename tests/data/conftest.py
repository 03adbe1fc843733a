import socket

import pytest

from kdtune.storage.paths import data_dir


@pytest.fixture
def own_cache(tmp_path, monkeypatch):
    """A cache of the test's own."""
    folder = tmp_path / "cache"
    monkeypatch.setenv("KDTUNE_CACHE_DIR", str(folder))
    return folder


@pytest.fixture
def place(tmp_path):
    """An empty data folder."""
    (tmp_path / "data").mkdir()
    return data_dir(tmp_path / "data")


@pytest.fixture
def no_network(monkeypatch):
    """Whoever opens a socket fails."""

    def refuse(*arguments, **options):
        raise AssertionError("a socket was opened")

    monkeypatch.setattr(socket, "socket", refuse)
    monkeypatch.setattr(socket, "create_connection", refuse)
