import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import kdtune
from kdtune.errors import SpecError
from kdtune.specs import SEARCH_SPACES, STUDIES, available, find, load_search_space, load_study


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def mine(here, folder, name):
    path = here / folder / f"{name}.toml"
    path.parent.mkdir(exist_ok=True)
    path.write_text("# mine\n")
    return path


def test_shipped_files_are_found_from_any_folder(here):
    assert find(STUDIES, "digits-hkd").name == "digits-hkd.toml"
    assert find(SEARCH_SPACES, "tau-2-20").name == "tau-2-20.toml"


def test_a_users_file_takes_precedence_over_a_shipped_one(here):
    own = mine(here, STUDIES, "digits-hkd")
    assert find(STUDIES, "digits-hkd").resolve() == own.resolve()


def test_a_users_search_space_takes_precedence_in_a_shipped_study(here):
    mine(here, SEARCH_SPACES, "tau-2-20").write_text("[tau]\nlow = 5\nhigh = 6\nstep = 1\n")
    assert load_study("digits-hkd").search_space.points() == [{"tau": 5}, {"tau": 6}]


@pytest.mark.parametrize("given", ["mine.toml", "./mine.toml", "sub/../mine.toml"])
def test_a_path_is_taken_as_a_path(here, given):
    (here / "sub").mkdir()
    (here / "mine.toml").touch()
    assert find(STUDIES, given) == Path(given)


def test_an_absolute_path_works(here):
    (here / "mine.toml").touch()
    assert find(STUDIES, str(here / "mine.toml")) == here / "mine.toml"


def test_a_path_is_never_taken_for_a_shipped_name(here):
    with pytest.raises(SpecError, match=r"no study file digits-hkd\.toml"):
        find(STUDIES, "digits-hkd.toml")


def test_a_folder_is_not_a_file(here):
    (here / "mine.toml").mkdir()
    with pytest.raises(SpecError, match="no study file"):
        find(STUDIES, "mine.toml")


def test_an_unknown_name_is_refused_with_a_suggestion_and_the_listing(here):
    with pytest.raises(SpecError, match="unknown study 'digits-hdk'; did you mean 'digits-hkd'.*kdtune list studies"):
        find(STUDIES, "digits-hdk")
    with pytest.raises(SpecError, match="unknown search space 'tau-2-21'; did you mean 'tau-2-20'.*kdtune list spaces"):
        find(SEARCH_SPACES, "tau-2-21")


def test_a_file_with_another_ending_is_refused_with_the_ending_of_a_study(here):
    Path("README.md").write_text("# Readme")
    with pytest.raises(SpecError, match=r"the name of a study file ends in \.toml, unlike README\.md"):
        find(STUDIES, "README.md")


def test_a_message_names_the_file_and_the_key_that_use_a_name(here):
    with pytest.raises(SpecError) as caught:
        find(SEARCH_SPACES, "nowhere", where="mine.toml", key="search_space")
    assert (caught.value.faults[0].where, caught.value.faults[0].key) == ("mine.toml", "search_space")


def test_the_listing_has_shipped_and_own_files_by_name(here):
    own = mine(here, STUDIES, "aaa")
    listing = available(STUDIES)
    assert list(listing)[0] == "aaa"
    assert listing["aaa"].resolve() == own.resolve()
    assert {"digits-hkd", "digits-cmc", "digits-dml"} <= set(listing)


def test_the_listing_shows_the_file_that_would_be_used(here):
    own = mine(here, STUDIES, "digits-hkd")
    assert available(STUDIES)["digits-hkd"].resolve() == own.resolve()


@pytest.mark.parametrize("name", sorted(available(STUDIES)))
def test_every_shipped_study_is_valid_and_has_the_name_of_its_file(name):
    assert load_study(name).name == name


@pytest.mark.parametrize("name", sorted(available(SEARCH_SPACES)))
def test_every_shipped_search_space_is_valid(name):
    assert "tau" in load_search_space(name)


def test_the_files_are_found_as_a_wheel_lays_them_out(here):
    # In a wheel they lie inside the package, in a checkout beside it.
    package = Path(kdtune.__file__).parent
    shutil.copytree(package, here / "site" / "kdtune", ignore=shutil.ignore_patterns("__pycache__"))
    for folder in (STUDIES, SEARCH_SPACES):
        source = package / "shipped" / folder
        source = source if source.is_dir() else package.parent / folder
        shutil.copytree(source, here / "site" / "kdtune" / "shipped" / folder, dirs_exist_ok=True)
    code = "import kdtune; from kdtune.specs import load_study; print(kdtune.__file__, load_study('digits-hkd').name)"
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": str(here / "site")},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.split() == [str(here / "site" / "kdtune" / "__init__.py"), "digits-hkd"]
