"""The study files are found however kdtune was installed: wheel, sdist, editable or a checkout."""

import ast
import json
import os
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import venv
import zipfile
from pathlib import Path

import pytest

import kdtune
import kdtune.errors

ROOT = Path(__file__).resolve().parents[1]

#: Prints where kdtune and its study files were found.
PROBE = (
    "import json, kdtune; from kdtune.specs import available, load_study; load_study('digits-hkd');"
    "print(json.dumps([kdtune.__file__, sorted(available('studies')), sorted(available('search_spaces'))]))"
)


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """An sdist of a clean copy of the checkout, and the wheel built from that sdist."""
    copy = tmp_path_factory.mktemp("source") / "kdtune"
    tracked = ["kdtune", "studies", "search_spaces", "tests", "docs", "examples", "benchmarks"]
    tracked += ["pyproject.toml", "README.md", "LICENSE", "CHANGELOG.md", "Makefile", "constraints.txt"]
    copy.mkdir()
    for name in tracked:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, copy / name)
    out = tmp_path_factory.mktemp("dist")
    subprocess.run(
        [sys.executable, "-m", "build", "--no-isolation", "--outdir", out, copy], check=True, capture_output=True
    )
    return next(out.glob("*.whl")), next(out.glob("*.tar.gz"))


def test_type_checkers_see_every_public_name():
    module = ast.parse((ROOT / "kdtune" / "__init__.py").read_text())
    [block] = [node for node in module.body if isinstance(node, ast.If)]
    seen = {name.name: line.module for line in block.body for name in line.names}
    assert seen == kdtune._MODULE_OF and kdtune.__all__ == ["__version__", *sorted(seen)]
    errors = {name for name, error in vars(kdtune.errors).items() if isinstance(error, type)} - {"Sequence"}
    assert errors <= {*kdtune.__all__}
    assert all(getattr(kdtune, name) for name in kdtune.__all__)


def _environment(folder: Path) -> Path:
    """A new, empty environment that borrows what is installed here, but for kdtune itself."""
    venv.create(folder, with_pip=False)
    site = Path(sysconfig.get_path("purelib", vars={"base": str(folder), "platbase": str(folder)}))
    # A path in a .pth file lends the packages; the editable kdtune's own .pth file in there is not read.
    (site / "borrowed.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return folder / "bin" / "python"


def _probe(python: Path | str, cwd: Path, **environment: str) -> tuple[Path, list[str], list[str]]:
    clean = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    done = subprocess.run(
        [python, "-c", PROBE], cwd=cwd, env={**clean, **environment}, capture_output=True, text=True, check=True
    )
    file, studies, spaces = json.loads(done.stdout)
    return Path(file), studies, spaces


def _shipped(folder: str) -> list[str]:
    return sorted(path.stem for path in (ROOT / folder).glob("*.toml"))


def test_the_wheel_carries_the_study_files(built):
    names = zipfile.ZipFile(built[0]).namelist()
    assert "kdtune/shipped/studies/digits-hkd.toml" in names
    assert "kdtune/shipped/search_spaces/tau-2-20.toml" in names
    assert {f"kdtune/report/html/page.{kind}" for kind in ("html", "css", "js")} <= set(names)
    assert "kdtune/paper/printed_values.toml" in names
    assert "kdtune/py.typed" in names
    assert not any(name.startswith(("tests/", "studies/")) for name in names)


def test_the_sdist_carries_the_documentation_and_what_it_links_to(built):
    with tarfile.open(built[1]) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert {
        "docs/index.md",
        "examples/kdtune_cells/pyproject.toml",
        "docs/images/accuracy-and-energy.svg",
        "benchmarks/results/fashion_hkd_live.json",
    } <= names


def test_installed_into_an_empty_environment_everything_is_found(built, tmp_path):
    """The wheel was built from the sdist, as pip does when it installs one."""
    python = _environment(tmp_path / "env")
    subprocess.run(
        [sys.executable, "-m", "pip", "--python", python, "install", "--no-deps", "--no-index", "--quiet"]
        + ["--disable-pip-version-check", "--no-build-isolation", "--no-compile", built[0]],
        check=True,
        capture_output=True,
    )
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    file, studies, spaces = _probe(python, elsewhere)
    assert file.is_relative_to(tmp_path / "env")
    assert (studies, spaces) == (_shipped("studies"), _shipped("search_spaces"))
    shown = subprocess.run([tmp_path / "env" / "bin" / "kdtune", "--version"], capture_output=True, text=True)
    assert shown.stdout.startswith("kdtune ")


def test_an_editable_install_finds_the_files_of_the_checkout(tmp_path):
    file, studies, spaces = _probe(sys.executable, tmp_path)
    assert file == ROOT / "kdtune" / "__init__.py"
    assert (studies, spaces) == (_shipped("studies"), _shipped("search_spaces"))


def test_a_checkout_that_is_not_installed_finds_its_own_files(tmp_path):
    for name in ("kdtune", "studies", "search_spaces"):
        shutil.copytree(ROOT / name, tmp_path / "checkout" / name, ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / "checkout" / "studies" / "only-here.toml").write_bytes(
        (ROOT / "studies" / "digits-hkd.toml").read_bytes()
    )
    file, studies, _ = _probe(sys.executable, tmp_path, PYTHONPATH=str(tmp_path / "checkout"))
    assert file.is_relative_to(tmp_path / "checkout")
    assert "only-here" in studies


def test_a_study_of_the_users_own_hides_the_shipped_one(tmp_path):
    (tmp_path / "studies").mkdir()
    text = (ROOT / "studies" / "digits-hkd.toml").read_text().replace("repeats = 3", "repeats = 7")
    (tmp_path / "studies" / "digits-hkd.toml").write_text(text)
    done = subprocess.run(
        [sys.executable, "-c", "from kdtune.specs import load_study; print(load_study('digits-hkd').repeats)"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == "7"
