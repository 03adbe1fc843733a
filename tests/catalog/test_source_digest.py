"""An edited component has another identity; changes of what it does not depend on leave its identity."""

import ast
import os
import sys
from importlib.util import spec_from_file_location

import pytest

from kdtune.catalog.source_digest import find_module, sources_of_file, sources_of_module


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
    before = sources_of_file(nets / "nets.py").digest
    file = nets / f"{edited}.py"
    file.write_text(file.read_text() + "\nx = 1\n")
    assert sources_of_file(nets / "nets.py").digest != before


def test_other_files_and_the_folder_do_not_change_the_digest(nets, tmp_path_factory):
    before = sources_of_file(nets / "nets.py").digest
    (nets / "unused.py").write_text("x = 1")
    assert sources_of_file(nets / "nets.py").digest == before
    moved = tmp_path_factory.mktemp("elsewhere") / "project"
    nets.rename(moved)
    assert sources_of_file(moved / "nets.py").digest == before


def test_the_digest_of_a_module_includes_imported_modules_of_its_package_and_runs_none(nets):
    path = [str(nets)]
    before = sources_of_module("parts.layers", path).digest
    (nets / "parts" / "basic.py").write_text("y = 2")
    assert sources_of_module("parts.layers", path).digest != before
    assert "parts" not in sys.modules


def test_installed_packages_are_identified_by_their_versions(nets, monkeypatch):
    alone = sources_of_file(nets / "heads.py").digest
    (nets / "heads.py").write_text("import numpy\nimport json\nfrom kdtune.catalog.builtin import DATASETS\n")
    with_imports = sources_of_file(nets / "heads.py").digest
    monkeypatch.setattr(sys, "path", [])  # nothing of them is read
    assert sources_of_file(nets / "heads.py").digest == with_imports != alone


def test_a_built_in_depends_on_the_modules_of_its_own_folder_alone():
    assert sources_of_module("kdtune.models.vgg").digest != sources_of_module("kdtune.models.resnet").digest
    assert len(sources_of_module("kdtune.models.vgg").digest) == 64


def test_a_missing_module_is_an_error(nets):
    assert find_module("parts.nothing", [str(nets)]) is None
    with pytest.raises(ModuleNotFoundError, match=r"'parts\.nothing'"):
        sources_of_module("parts.nothing", [str(nets)])


def test_a_nested_namespace_package_is_found(tmp_path):
    (tmp_path / "outer" / "inner").mkdir(parents=True)
    (tmp_path / "outer" / "inner" / "nets.py").write_text("")
    assert find_module("outer.inner.nets", [str(tmp_path)]) == tmp_path / "outer" / "inner" / "nets.py"


def test_a_module_that_an_import_hook_finds_is_identified_by_its_source(tmp_path, monkeypatch):
    """As an editable installation does it."""
    (tmp_path / "hooked.py").write_text("A = 1\n")

    class Hook:
        @staticmethod
        def find_spec(name, path, target=None):
            return spec_from_file_location(name, tmp_path / "hooked.py") if name == "hooked" else None

    monkeypatch.setattr(sys, "meta_path", [*sys.meta_path, Hook])
    before = sources_of_module("hooked").digest
    (tmp_path / "hooked.py").write_text("A = 22\n")
    assert sources_of_module("hooked").digest != before


@pytest.mark.parametrize("extra", ["rv_extra.py", "rv_package/extra.py", "rv_folder/extra.py"])
def test_a_module_that_is_added_changes_the_digest(tmp_path, extra):
    (tmp_path / "rv_folder").mkdir()
    (tmp_path / "rv_package").mkdir()
    (tmp_path / "rv_package" / "__init__.py").write_text("")
    imported = extra.removesuffix(".py").replace("/", ".")
    (tmp_path / "nets.py").write_text(f"try:\n    import {imported}\nexcept ImportError:\n    pass\n")
    added = tmp_path / extra
    os.utime(added.parent, ns=(0, 0))  # so that the folder's time differs even if all of this takes one tick of it
    before = sources_of_file(tmp_path / "nets.py")
    assert sources_of_file(tmp_path / "nets.py") is before
    added.write_text("")
    assert imported in sources_of_file(tmp_path / "nets.py").files.keys() - before.files.keys()


def test_an_edit_while_a_module_is_read_is_noticed(tmp_path, monkeypatch):
    file = tmp_path / "edited_meanwhile.py"
    file.write_text("")
    parse = ast.parse

    def edit_and_parse(source, *names):
        file.write_text("WIDTH = 2\n")
        return parse(source, *names)

    with monkeypatch.context() as patches:
        patches.setattr(ast, "parse", edit_and_parse)
        before = sources_of_file(file)
    assert sources_of_file(file).digest != before.digest
