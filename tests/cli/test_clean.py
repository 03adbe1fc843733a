"""``kdtune clean`` and ``kdtune list caches``, as a user runs them."""

import json

import pytest

from tests.studies import here, kdtune


@pytest.fixture
def cache(tmp_path):
    folder = tmp_path / "cache" / "teachers" / "digits-t-0"
    folder.mkdir(parents=True)
    (folder / "teacher.pt").write_bytes(b"x" * 5000)
    return tmp_path / "cache"


def test_cached_files_are_listed_with_their_sizes(cache, tmp_path):
    done = here("list", "caches", "--json", cwd=tmp_path, KDTUNE_CACHE_DIR=str(cache))
    (one,) = json.loads(done.stdout)["caches"]
    assert (one["name"], one["kind"]) == ("digits-t-0", "teachers") and one["bytes"] >= 5000


def test_nothing_is_removed_without_confirmation(cache, tmp_path):
    done = kdtune("clean", cwd=tmp_path, KDTUNE_CACHE_DIR=str(cache))
    assert done.returncode == 2 and "pass --yes" in done.stderr and "(1 entry, " in done.stderr
    assert str(cache / "teachers" / "digits-t-0") in done.stdout
    assert (cache / "teachers" / "digits-t-0").exists()


def test_with_yes_caches_are_listed_and_removed(cache, tmp_path):
    done = here("clean", "teachers", "--yes", cwd=tmp_path, KDTUNE_CACHE_DIR=str(cache))
    assert done.returncode == 0 and "Removed 1." in done.stdout
    assert not (cache / "teachers" / "digits-t-0").exists()
    again = here("clean", "--yes", cwd=tmp_path, KDTUNE_CACHE_DIR=str(cache))
    assert again.returncode == 0 and "Nothing is cached" in again.stdout


def test_an_unknown_cache_is_named_with_a_suggestion(tmp_path):
    done = here("clean", "teacher", cwd=tmp_path)
    assert done.returncode == 2 and "did you mean 'teachers'" in done.stderr
