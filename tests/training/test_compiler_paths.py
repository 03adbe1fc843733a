import os
import shlex
import tempfile
from pathlib import Path

import pytest

from kdtune.artifacts.compiled_code import CompiledCode
from kdtune.errors import CompileError
from kdtune.training import compiler_paths
from kdtune.training.compiler_paths import is_plain, plain_path


@pytest.fixture
def temporary(monkeypatch, tmp_path):
    """The only place for links, as a shared machine's temporary folder is."""
    folder = tmp_path / "tmp"
    folder.mkdir()
    monkeypatch.setattr(compiler_paths.tempfile, "gettempdir", lambda: str(folder))
    return folder


@pytest.mark.parametrize("name", ["cache", "käche", "дом", "a-b_c.d", "#1", "~x", "$HOME", "a*b"])
def test_a_path_of_one_word_is_used_as_it_is(tmp_path, temporary, name):
    assert plain_path(tmp_path / name) == tmp_path / name
    assert list(temporary.iterdir()) == []


@pytest.mark.parametrize("name", ["my cache", "it's", 'a "b" c', "back\\slash", "a\tb", "two\nlines", "ein käche"])
def test_another_is_reached_by_a_link_that_is_one_word_and_always_the_same(tmp_path, temporary, name):
    folder = tmp_path / name
    link = plain_path(folder)
    assert shlex.split(f"g++ {link}/a.cpp") == ["g++", f"{link}/a.cpp"] and not is_plain(folder)
    folder.mkdir()
    (link / "file").touch()
    assert [path.name for path in folder.iterdir()] == ["file"]
    assert plain_path(folder) == link != plain_path(tmp_path / "an other")


def test_a_link_that_leads_elsewhere_is_put_right(tmp_path, temporary):
    link = plain_path(tmp_path / "my cache")
    link.unlink()
    link.symlink_to(tmp_path)
    assert plain_path(tmp_path / "my cache").readlink() == tmp_path / "my cache"


@pytest.mark.parametrize("kind", ["written by others", "a link"])
def test_a_place_that_others_can_write_to_is_not_used(tmp_path, temporary, monkeypatch, kind):
    place = temporary / f"kdtune-links-{os.getuid()}"
    if kind == "a link":
        (tmp_path / "theirs").mkdir()
        place.symlink_to(tmp_path / "theirs")
    else:
        place.mkdir()
        place.chmod(0o777)
    monkeypatch.setattr(compiler_paths, "_SHARED", ())
    with pytest.raises(CompileError, match=f"^{tmp_path}/my cache: .* set KDTUNE_CACHE_DIR .*compile=off$"):
        plain_path(tmp_path / "my cache")


def test_generated_code_lies_in_the_cache_under_a_path_of_one_word(tmp_path, temporary, monkeypatch):
    for name in ("TORCHINDUCTOR_CACHE_DIR", "TRITON_CACHE_DIR"):
        monkeypatch.setenv(name, "elsewhere")
    one = CompiledCode(tmp_path / "my cache" / "c1")
    one.use()
    for place in one.environment.values():
        assert is_plain(place) and Path(place).resolve().is_relative_to(one.code)
    assert os.environ["TORCHINDUCTOR_CACHE_DIR"] == one.environment["TORCHINDUCTOR_CACHE_DIR"]
    assert tempfile.gettempdir() == str(temporary)
