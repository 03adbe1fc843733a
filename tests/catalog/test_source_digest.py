"""An edited component has another identity; what it does not depend on does not matter."""

import sys

import pytest

from kdtune.catalog.source_digest import digest_of_file, digest_of_module, find_module


@pytest.fixture
def nets(tmp_path):
    (tmp_path / "nets.py").write_text("import torch\nfrom blocks import block\n\ndef tiny():\n    import heads\n")
    (tmp_path / "blocks.py").write_text("from parts import layers\n")
    (tmp_path / "heads.py").write_text("")
    (tmp_path / "unused.py").write_text("")
    (tmp_path / "parts").mkdir()
    (tmp_path / "parts" / "__init__.py").write_text("")
    (tmp_path / "parts" / "layers.py").write_text("from . import basic\nfrom ..nowhere import missing\n")
    (tmp_path / "parts" / "basic.py").write_text("raise RuntimeError('a digest runs nothing')\n")
    return tmp_path


@pytest.mark.parametrize("edited", ["nets", "blocks", "heads", "parts/__init__", "parts/layers", "parts/basic"])
def test_an_edit_anywhere_that_is_imported_changes_the_digest(nets, edited):
    before = digest_of_file(nets / "nets.py")
    file = nets / f"{edited}.py"
    file.write_text(file.read_text() + "\nx = 1\n")
    assert digest_of_file(nets / "nets.py") != before


def test_other_files_and_the_folder_do_not_change_the_digest(nets, tmp_path_factory):
    before = digest_of_file(nets / "nets.py")
    (nets / "unused.py").write_text("x = 1")
    assert digest_of_file(nets / "nets.py") == before
    moved = tmp_path_factory.mktemp("elsewhere") / "project"
    nets.rename(moved)
    assert digest_of_file(moved / "nets.py") == before


def test_the_digest_of_a_module_includes_imported_modules_of_its_package_and_runs_none(nets):
    path = [str(nets)]
    before = digest_of_module("parts.layers", path)
    (nets / "parts" / "basic.py").write_text("y = 2")
    assert digest_of_module("parts.layers", path) != before
    assert "parts" not in sys.modules


def test_installed_packages_are_identified_by_their_versions(nets, monkeypatch):
    alone = digest_of_file(nets / "heads.py")
    (nets / "heads.py").write_text("import numpy\nimport json\nfrom kdtune.catalog.builtin import DATASETS\n")
    with_imports = digest_of_file(nets / "heads.py")
    monkeypatch.setattr(sys, "path", [])  # nothing of them is read
    assert digest_of_file(nets / "heads.py") == with_imports != alone


def test_a_built_in_depends_on_the_modules_of_its_own_folder_alone():
    assert digest_of_module("kdtune.models.vgg") != digest_of_module("kdtune.models.resnet")
    assert len(digest_of_module("kdtune.models.vgg")) == 64


def test_a_missing_module_is_an_error(nets):
    assert find_module("parts.nothing", [str(nets)]) is None
    with pytest.raises(ModuleNotFoundError, match=r"'parts\.nothing'"):
        digest_of_module("parts.nothing", [str(nets)])
