"""The example package is installed, checked, run and compared in processes of their own, as a user would."""

import ast
import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from tests.forked import Forked
from tests.studies import command

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "examples" / "kdtune_cells"
FILES = sorted((EXAMPLE / "kdtune_cells").glob("*.py"))
PROJECT = tomllib.loads((EXAMPLE / "pyproject.toml").read_text())["project"]

#: Name of the registered component by group, such as ``kdtune.models``.
REGISTERED = {group: next(iter(points)) for group, points in PROJECT["entry-points"].items()}


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """A folder into which the package is installed."""
    source = tmp_path_factory.mktemp("source") / "kdtune_cells"
    shutil.copytree(EXAMPLE, source, ignore=shutil.ignore_patterns("__pycache__"))
    target = tmp_path_factory.mktemp("site")
    subprocess.run(
        [sys.executable, "-m", "pip", "install", "--no-deps", "--no-index", "--no-build-isolation", "--quiet"]
        + ["--disable-pip-version-check", "--no-compile", "--target", target, source],
        check=True,
        capture_output=True,
    )
    return target


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The working folder, with the study, of which fewer images and epochs are enough."""
    folder = tmp_path_factory.mktemp("working")
    text = (EXAMPLE / "study.toml").read_text()
    for written, wanted in (("images = 800", "images = 100"), ("epochs = 10", "epochs = 1")):
        assert written in text
        text = text.replace(written, wanted)
    (folder / "study.toml").write_text(text)
    return folder


#: Runs the command where the package has been installed into a folder, which is the first argument.
WITH_PACKAGE = """
import sys
from kdtune.__main__ import main

sys.path.insert(0, sys.argv.pop(1))
sys.argv[0] = "kdtune"
main()
"""


def started(arguments, cwd, *places):
    """Run kdtune in a process of its own, and the package with it if a place names the folder of the package."""
    process = Forked(WITH_PACKAGE if places else None, [*map(str, places), *arguments], cwd)
    out, err = process.communicate()
    return subprocess.CompletedProcess(arguments, process.returncode, out, err)


def strategies_in(done):
    assert done.returncode == 0, done.stderr
    return {one["strategy"]: one["repeats"][0] for one in json.loads(done.stdout)["results"]}


def test_each_component_is_one_short_documented_file():
    assert len(FILES) == 1 + len(REGISTERED)
    for file in FILES:
        text = file.read_text()
        assert len(text.splitlines()) < 40, file.name
        defined = [ast.parse(text), *(one for one in ast.walk(ast.parse(text)) if isinstance(one, ast.ClassDef))]
        assert all(map(ast.get_docstring, defined)), file.name


def test_the_readme_names_all_files_and_components():
    rows = re.findall(
        r"^\| `([\w/]+\.py)` \|.*\| `([\w.]+)` \| `([\w-]+)` \|$", (EXAMPLE / "README.md").read_text(), re.MULTILINE
    )
    assert {group: name for _, group, name in rows} == REGISTERED
    assert {EXAMPLE / file for file, _, _ in rows} == {file for file in FILES if file.stem != "__init__"}


def test_it_is_listed_checked_run_and_compared_and_its_results_are_read_without_it(site, folder):
    path = os.pathsep.join(map(str, [site, ROOT]))
    asked = {"cwd": folder, "env": {**os.environ, "PYTHONPATH": path}, "capture_output": True}
    listed = json.loads(subprocess.run(command("list", "--json"), **asked).stdout)  # in a new Python, as a user does
    for what in ("models", "losses"):
        listed |= json.loads(started(["list", what, "--json"], folder, site).stdout)
    for group, name in REGISTERED.items():
        [summary] = [one["summary"] for one in listed[group.partition(".")[2]] if one["name"] == name]
        assert summary.startswith("from package kdtune-cells: ")

    checked = started(["check", "study.toml", "--json"], folder, site)
    assert checked.returncode == 0, checked.stderr
    document = json.loads(checked.stdout)
    assert document["faults"] == [] and len(document["steps"]) == 4
    assert document["data"]["class_names"] == ["red", "white", "platelet"]

    asked = ["-s", "climb", "-s", "confidence", "--repeats", "1", "--inline", "--quiet", "--no-report"]
    run = started(["study", "study.toml", *asked], folder, site)
    assert run.returncode == 0, run.stderr
    compared = strategies_in(started(["compare", "results/cells", "--json"], folder, site))
    assert compared["climb"]["trials"] >= 2 and set(compared["climb"]["chosen"]) == {"tau"}
    assert compared["confidence"]["chosen"] == {"temperature": "confidence", "sure": 6.0}
    assert all(0 < repeat["test"]["accuracy"] <= 1 for repeat in compared.values())
    assert "platelet" in (folder / "results/cells/climb/confusion.csv").read_text()

    assert strategies_in(started(["compare", "results/cells", "--json"], folder)) == compared
    resumed = started(["resume", "results/cells", "--inline"], folder)
    assert resumed.returncode == 2 and "Traceback" not in resumed.stderr
    for name in REGISTERED.values():
        assert f"unknown {kind_of(name)} '{name}'" in resumed.stderr


def kind_of(name):
    kinds = {"models": "model", "datasets": "data set", "losses": "loss", "strategies": "strategy"}
    [group] = [group.partition(".")[2] for group, one in REGISTERED.items() if one == name]
    return kinds.get(group, "temperature")
