import shutil
import subprocess

import pytest

from kdtune.results.source_commit import commit


def git(folder, *arguments):
    options = ["-c", "user.name=a", "-c", "user.email=a@b.c", "-c", "init.defaultBranch=main"]
    done = subprocess.run(["git", *options, *arguments], cwd=folder, check=True, capture_output=True, text=True)
    return done.stdout.strip()


@pytest.mark.skipif(not shutil.which("git"), reason="no git here")
def test_a_checkout_has_a_commit_and_a_mark_after_changes(tmp_path, monkeypatch):
    here, file = tmp_path / "one", tmp_path / "one" / "code.py"
    here.mkdir()
    git(here, "init", "-q")
    file.write_text("1")
    git(here, "add", ".")
    git(here, "commit", "-qm", "first")
    git(here, "tag", "-am", "a release", "v9")
    known = git(here, "rev-parse", "HEAD")[:12]
    monkeypatch.setenv("GIT_DIR", "elsewhere")  # as in a hook of git's
    assert commit(here) == known
    file.write_text("2")
    commit.cache_clear()
    assert commit(here) == f"{known}+changes"


def test_a_folder_outside_a_checkout_has_no_commit(tmp_path):
    assert commit(tmp_path) is None
    (tmp_path / ".git").mkdir()
    inside = tmp_path / "site-packages"
    inside.mkdir()
    assert commit(inside) is None
    commit.cache_clear()
    assert commit(tmp_path) is None  # what git does not know as a repository
