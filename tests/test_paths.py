from pathlib import Path

import pytest

from kdtune.errors import UsageError
from kdtune.paths import cache_dir, data_dir, require_cache


def test_the_data_folder_is_the_one_given_then_the_environments_then_the_default(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("KDTUNE_DATA_DIR", str(tmp_path / "environment"))
    assert data_dir(tmp_path / "given").path == tmp_path / "given"
    assert data_dir().path == tmp_path / "environment"
    monkeypatch.setenv("KDTUNE_DATA_DIR", "")
    assert data_dir().path == tmp_path / "home" / ".cache" / "kdtune" / "data"


def test_each_says_who_named_it(tmp_path, monkeypatch):
    monkeypatch.setenv("KDTUNE_DATA_DIR", str(tmp_path))
    assert str(data_dir()) == f"{tmp_path} (KDTUNE_DATA_DIR)"
    assert str(data_dir("/x")) == "/x (--data-dir)"
    monkeypatch.delenv("KDTUNE_DATA_DIR")
    assert str(data_dir()).endswith("(the default place)")


def test_folders_are_absolute_and_know_the_home(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert data_dir("data").path == tmp_path / "data"
    assert data_dir("~/data").path == tmp_path / "data"
    monkeypatch.setenv("KDTUNE_CACHE_DIR", "cache")
    assert cache_dir() == Path(tmp_path / "cache")


def test_a_cache_is_made_and_nothing_is_left_in_it(tmp_path, monkeypatch):
    monkeypatch.setenv("KDTUNE_CACHE_DIR", str(tmp_path / "new" / "cache"))
    require_cache()
    assert list((tmp_path / "new" / "cache").iterdir()) == []


@pytest.mark.parametrize("name", ["file", "file/cache"])
def test_a_cache_that_cannot_be_is_refused_with_the_remedy(tmp_path, monkeypatch, name):
    (tmp_path / "file").touch()
    monkeypatch.setenv("KDTUNE_CACHE_DIR", str(tmp_path / name))
    with pytest.raises(UsageError, match=f"{name}: the cache cannot be written .*set KDTUNE_CACHE_DIR"):
        require_cache()
