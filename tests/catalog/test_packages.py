"""Which installed distribution provides a module."""

from importlib.metadata import packages_distributions, version

import pytest

from kdtune.catalog.packages import version_of, versions_of


@pytest.fixture(scope="module")
def distributions():
    """All installed distributions by package, which are read from the files of each of them."""
    return packages_distributions()


@pytest.mark.parametrize("package", ["PIL", "google", "numpy", "sklearn", "yaml"])
def test_all_distributions_of_a_module_are_found(package, distributions):
    expected = {f"{name}=={version(name)}" for name in distributions[package]}
    assert versions_of([package]) == tuple(sorted(expected))


@pytest.mark.parametrize("file", ["native.cpython-312-x86_64-linux-gnu.so", "native.py", "native/deep/part.py"])
def test_a_module_is_found_in_the_list_of_files(tmp_path, monkeypatch, file):
    folder = tmp_path / "other-1.dist-info"
    folder.mkdir()
    (folder / "METADATA").write_text("Name: other\nVersion: 1\n")
    (folder / "RECORD").write_text(f"{file},,\nnot_native.py,,\n")
    monkeypatch.syspath_prepend(tmp_path)
    assert version_of("native") == "other==1"
    assert versions_of(["nativ", "deep"]) == ()
