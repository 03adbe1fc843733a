from pathlib import Path

import pytest
import tomli_w

from kdtune.errors import UsageError
from kdtune.specs import load_study
from kdtune.storage.paths import cache_dir, data_dir, noted_data_dir, require_cache
from tests.results.several import ran
from tests.studies import here


def test_the_data_folder_comes_from_argument_environment_or_default(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("KDTUNE_DATA_DIR", str(tmp_path / "environment"))
    assert data_dir(tmp_path / "given").path == tmp_path / "given"
    assert data_dir().path == tmp_path / "environment"
    monkeypatch.setenv("KDTUNE_DATA_DIR", "")
    assert data_dir().path == tmp_path / "home" / ".cache" / "kdtune" / "data"


def test_each_data_folder_says_what_named_it(tmp_path, monkeypatch):
    monkeypatch.setenv("KDTUNE_DATA_DIR", str(tmp_path))
    assert str(data_dir()) == f"{tmp_path} (KDTUNE_DATA_DIR)"
    assert str(data_dir("/x")) == "/x (--data-dir)"
    monkeypatch.delenv("KDTUNE_DATA_DIR")
    assert str(data_dir()).endswith("(the default folder)")


def test_folders_are_absolute_and_home_folders_are_expanded(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert data_dir("data").path == tmp_path / "data"
    assert data_dir("~/data").path == tmp_path / "data"
    monkeypatch.setenv("KDTUNE_CACHE_DIR", "cache")
    assert cache_dir() == Path(tmp_path / "cache")


def test_a_cache_folder_is_created_and_stays_empty(tmp_path, monkeypatch):
    monkeypatch.setenv("KDTUNE_CACHE_DIR", str(tmp_path / "new" / "cache"))
    require_cache()
    assert list((tmp_path / "new" / "cache").iterdir()) == []


@pytest.mark.parametrize("name", ["file", "file/cache"])
def test_an_unusable_cache_is_refused_with_the_remedy(tmp_path, monkeypatch, name):
    (tmp_path / "file").touch()
    monkeypatch.setenv("KDTUNE_CACHE_DIR", str(tmp_path / name))
    with pytest.raises(UsageError, match=f"{name}: the cache cannot be written .*set KDTUNE_CACHE_DIR"):
        require_cache()


def test_a_noted_data_folder_has_precedence_over_the_environment_only(tmp_path, monkeypatch):
    monkeypatch.setenv("KDTUNE_DATA_DIR", str(tmp_path / "environment"))
    run = tmp_path / "run.toml"
    assert noted_data_dir(tmp_path / "given", "/noted", run).path == tmp_path / "given"
    assert noted_data_dir(None, None, run).path == tmp_path / "environment"
    noted = noted_data_dir(None, "/noted", run)
    assert noted.path == Path("/noted") and str(run) in str(noted) and noted.remedy == "--data-dir DIR"


@pytest.fixture
def home(tmp_path, monkeypatch):
    """A home folder with results and a study file, and a working folder beside it."""
    home, work = tmp_path / "home", tmp_path / "work"
    ran(home / "results", "grid", [0.5])
    shipped = load_study("digits-hkd").model_dump(mode="json", exclude_none=True)
    (home / "mine.toml").write_text(tomli_w.dumps({**shipped, "search_space": "~/space.toml"}))
    (home / "space.toml").write_text("[tau]\nvalues = [2, 4]\n")
    work.mkdir()
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.chdir(work)
    return home


@pytest.mark.parametrize("written", ["~", "~root"])
@pytest.mark.parametrize(
    "variable, folder", [("KDTUNE_CACHE_DIR", cache_dir), ("KDTUNE_DATA_DIR", lambda: data_dir().path)]
)
def test_home_folders_in_variables_are_expanded(home, monkeypatch, variable, folder, written):
    monkeypatch.setenv(variable, f"{written}/kdtune")
    assert folder() == Path(written).expanduser() / "kdtune" and folder().is_absolute()


@pytest.mark.parametrize(
    "arguments, shown",
    [
        (["compare", "~/results/small"], "small: cost of one model"),
        (["compare", "--paper", "~/results/small"], "small"),
        (["compare", "~/results/small", "--csv=~/costs.csv"], "small"),
        (["claims", "~/results"], "Random search is unsuitable for tau."),
        (["list", "runs", "--out=~/results"], "small/grid"),
        (["study", "~/mine.toml", "--dry-run", "--out=~/new"], "Nothing was run"),
    ],
)
def test_home_folders_in_arguments_are_expanded(home, arguments, shown):
    done = here(*arguments, cwd=Path.cwd())
    assert done.returncode == 0, done.stderr
    assert shown in done.stdout
    assert list(Path.cwd().iterdir()) == []  # in particular no folder with the name ~
    assert (home / "costs.csv").exists() == ("--csv=~/costs.csv" in arguments)


@pytest.mark.parametrize(
    "arguments",
    [
        ["study", "digits-hkd", "--out=~nobody-here/r"],
        ["study", "digits-hkd", "--data-dir=~nobody-here/d"],
        ["study", "digits-hkd", "--teacher=~nobody-here/t.pt"],
        ["list", "runs", "--out=~nobody-here/r"],
        ["inference", "~nobody-here/r"],
        ["resume", "~nobody-here/r"],
    ],
)
def test_an_unknown_home_folder_is_named_with_its_option(home, arguments):
    done = here(*arguments, cwd=Path.cwd())
    assert done.returncode == 2
    option, _, path = arguments[-1].rpartition("=")
    assert done.stderr == f"error: {option} {path}: there is no such user on this machine\n".replace("  ", " ")


def test_a_worker_resolves_paths_relative_to_the_folder_of_the_user(tmp_path, monkeypatch):
    """Ray Tune changes the folder of each worker, so a relative cache path would name another cache in each."""
    monkeypatch.setenv("TUNE_ORIG_WORKING_DIR", "/users")
    monkeypatch.chdir(tmp_path)
    for variable in ("KDTUNE_CACHE_DIR", "KDTUNE_DATA_DIR"):
        monkeypatch.setenv(variable, "here")
    assert cache_dir() == data_dir().path == Path("/users/here")
