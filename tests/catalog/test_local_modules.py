import importlib
import os
import sys
import time
from types import ModuleType

import pytest

from kdtune.catalog.local_modules import attribute_of_file, attribute_of_module
from kdtune.catalog.python_objects import reference_to
from kdtune.catalog.source_digest import sources_of_file
from kdtune.errors import SourceChangedError


@pytest.fixture
def file(tmp_path):
    (tmp_path / "beside_it.py").write_text("WIDTH = 2\n")
    file = tmp_path / "nets.py"
    file.write_text("from beside_it import WIDTH\n\ndef tiny():\n    return WIDTH\n\nclass Nets:\n    small = tiny\n")
    yield file
    sys.modules.pop("beside_it", None)


def test_a_file_and_modules_beside_it_are_imported_and_the_path_is_unchanged(file):
    before = list(sys.path)
    assert attribute_of_file(file, "tiny")() == 2
    assert attribute_of_file(file, "Nets.small")() == 2
    assert sys.path in (before, [*before, str(file.parent)])


def test_a_file_is_run_once(file):
    assert attribute_of_file(file, "tiny") is attribute_of_file(file, "tiny")


def test_an_edited_module_beside_the_file_is_run_again(file):
    assert attribute_of_file(file, "tiny")() == 2
    (file.parent / "beside_it.py").write_text("WIDTH = 34\n")
    assert attribute_of_file(file, "tiny")() == 34


def test_errors_of_a_file_are_not_changed_and_it_is_run_again_next_time(file):
    file.write_text("raise RuntimeError('of my own')\n")
    for _ in range(2):
        with pytest.raises(RuntimeError, match="of my own"):
            attribute_of_file(file, "tiny")


def test_a_missing_attribute_is_named_with_those_that_exist(file):
    with pytest.raises(AttributeError, match=r"nets\.py has no 'tny'; it defines tiny, Nets"):
        attribute_of_file(file, "tny")
    with pytest.raises(AttributeError, match="has no 'nothing'"):
        attribute_of_module("json", "nothing")


def test_classes_of_a_file_can_be_dataclasses(file):
    file.write_text("from dataclasses import dataclass\n@dataclass\nclass A:\n    x: 'int' = 1\n")
    assert attribute_of_file(file, "A")().x == 1


def test_an_edited_module_is_imported_again_in_the_same_process(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "edited_widths.py").write_text("WIDTH = 4\n")
    (tmp_path / "edited_nets.py").write_text("from edited_widths import WIDTH\n\ndef net():\n    return WIDTH\n")
    assert attribute_of_module("edited_nets", "net")() == 4
    (tmp_path / "edited_widths.py").write_text("WIDTH = 64\n")
    assert attribute_of_module("edited_nets", "net")() == 64
    assert attribute_of_module("edited_nets", "net") is attribute_of_module("edited_nets", "net")


def test_two_folders_with_modules_of_the_same_name_do_not_meet(tmp_path):
    for folder, width in (("teachers", 64), ("students", 4)):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "shared_helper.py").write_text(f"WIDTH = {width}\n")
        (tmp_path / folder / "nets.py").write_text(
            "import shared_helper\n\ndef net():\n    return shared_helper.WIDTH\n"
        )
    teacher = attribute_of_file(tmp_path / "teachers" / "nets.py", "net")
    student = attribute_of_file(tmp_path / "students" / "nets.py", "net")
    assert (teacher(), student()) == (64, 4)
    assert attribute_of_file(tmp_path / "teachers" / "nets.py", "net") is teacher


def test_an_edited_package_beside_a_file_is_imported_again(tmp_path):
    (tmp_path / "lib_of_nets").mkdir()
    (tmp_path / "lib_of_nets" / "x.py").write_text("V = 1\n")
    (tmp_path / "nets.py").write_text("from lib_of_nets.x import V\n\ndef net():\n    return V\n")
    assert attribute_of_file(tmp_path / "nets.py", "net")() == 1
    (tmp_path / "lib_of_nets" / "x.py").write_text("V = 22\n")
    assert attribute_of_file(tmp_path / "nets.py", "net")() == 22


def test_a_module_may_be_imported_within_a_function(tmp_path):
    (tmp_path / "late_helper.py").write_text("WIDTH = 5\n")
    (tmp_path / "nets.py").write_text("def net():\n    import late_helper\n    return late_helper.WIDTH\n")
    assert attribute_of_file(tmp_path / "nets.py", "net")() == 5


def test_two_files_of_a_folder_are_run_once_each(tmp_path):
    for name in ("one", "two"):
        (tmp_path / f"{name}.py").write_text("class Net:\n    pass\n")
    first = [attribute_of_file(tmp_path / f"{name}.py", "Net") for name in ("one", "two")]
    assert [attribute_of_file(tmp_path / f"{name}.py", "Net") for name in ("one", "two")] == first


def test_a_module_behind_a_symbolic_link_is_imported_once(tmp_path, monkeypatch):
    (tmp_path / "real").mkdir()
    (tmp_path / "real" / "linked_nets.py").write_text("import linked_parts\n\ndef net():\n    pass\n")
    (tmp_path / "real" / "linked_parts.py").write_text("")
    (tmp_path / "link").symlink_to(tmp_path / "real")
    monkeypatch.syspath_prepend(tmp_path / "link")
    net = attribute_of_module("linked_nets", "net")
    monkeypatch.syspath_prepend(tmp_path / "real")  # the same folder under its other name
    assert attribute_of_module("linked_nets", "net") is net
    assert attribute_of_file(tmp_path / "link" / "linked_nets.py", "net")() is None
    assert attribute_of_module("linked_nets", "net") is net


def test_a_file_that_is_a_link_is_identified_by_the_modules_that_it_uses(tmp_path):
    for folder, width in (("here", 3), ("there", 5)):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "parts_of_it.py").write_text(f"WIDTH = {width}\n")
    target = tmp_path / "there" / "nets.py"
    target.write_text("import parts_of_it\n\ndef net():\n    return parts_of_it.WIDTH\n")
    (tmp_path / "here" / "nets.py").symlink_to(target)
    assert attribute_of_file(tmp_path / "here" / "nets.py", "net")() == 5
    assert sources_of_file(tmp_path / "here" / "nets.py") == sources_of_file(target)


def test_a_file_may_have_the_name_of_any_module(tmp_path, monkeypatch):
    """Neither a standard module, nor an installed one, nor the module of another folder is replaced by it."""
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "unrelated_nets.py").write_text("")
    monkeypatch.syspath_prepend(tmp_path / "other")
    kept = {name: importlib.import_module(name) for name in ("json", "time", "numpy", "unrelated_nets")}
    for name in kept:
        file = tmp_path / f"{name}.py"
        for width in (1, 22):  # edited, too
            file.write_text(f"def net():\n    return {width}\n")
            assert attribute_of_file(file, "net")() == width
    assert {name: sys.modules[name] for name in kept} == kept


def test_a_file_that_others_import_is_imported_again_after_an_edit(tmp_path):
    (tmp_path / "first_nets.py").write_text("def net():\n    return 1\n")
    (tmp_path / "second_nets.py").write_text("from first_nets import net\n")
    assert attribute_of_file(tmp_path / "second_nets.py", "net")() == 1
    (tmp_path / "first_nets.py").write_text("def net():\n    return 22\n")
    assert attribute_of_file(tmp_path / "first_nets.py", "net")() == 22
    assert attribute_of_file(tmp_path / "second_nets.py", "net")() == 22


def test_an_installed_package_that_was_replaced_needs_a_new_process(tmp_path, monkeypatch):
    monkeypatch.setattr("kdtune.catalog.source_digest._INSTALLED", {tmp_path})
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "installed_nets.py").write_text("def net():\n    return 1\n")
    assert attribute_of_module("installed_nets", "net")() == 1
    (tmp_path / "installed_nets.py").write_text("def net():\n    return 22\n")
    with pytest.raises(SourceChangedError, match="installed_nets: was installed anew .*; start a new process"):
        attribute_of_module("installed_nets", "net")
    assert "installed_nets" in sys.modules


def test_a_module_that_the_program_imported_before_an_edit_is_imported_again(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "imported_nets.py").write_text("import imported_parts\n\ndef net():\n    return 1\n")
    (tmp_path / "imported_parts.py").write_text("")
    earlier = importlib.import_module("imported_nets").net
    (tmp_path / "imported_nets.py").write_text("def net():\n    return 22\n")
    assert attribute_of_module("imported_nets", "net")() == 22
    assert attribute_of_module("imported_nets", "net") is sys.modules["imported_nets"].net is not earlier
    assert reference_to(earlier) == "imported_nets:net"  # the program's variables still have the earlier one


def test_a_module_that_the_program_imported_without_an_edit_is_kept(tmp_path, monkeypatch):
    monkeypatch.setattr("kdtune.catalog.local_modules._start_of_process", lambda: time.time() + 60)
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "kept_nets.py").write_text("def net():\n    return 1\n")
    kept = importlib.import_module("kept_nets")
    assert attribute_of_module("kept_nets", "net") is kept.net


def test_a_module_imported_within_a_function_is_imported_again_after_an_edit(tmp_path):
    (tmp_path / "nets.py").write_text("def net():\n    from late_width import WIDTH\n    return WIDTH\n")
    helper = tmp_path / "late_width.py"
    for width in (1, 22, 1, 333, 22):  # an earlier source as well
        helper.write_text(f"WIDTH = {width}\n")
        net = attribute_of_file(tmp_path / "nets.py", "net")
        assert (net(), net()) == (width, width)
        assert attribute_of_file(tmp_path / "nets.py", "net") is net


def test_a_program_that_a_component_imports_is_not_imported_again(tmp_path, monkeypatch):
    (tmp_path / "__main__.py").write_text("WIDTH = 1\n")
    (tmp_path / "nets.py").write_text("import __main__\n\ndef net():\n    return __main__\n")
    program = ModuleType("__main__")
    program.__file__ = str(tmp_path / "__main__.py")
    monkeypatch.setitem(sys.modules, "__main__", program)
    net = attribute_of_file(tmp_path / "nets.py", "net")
    assert net() is program
    assert attribute_of_file(tmp_path / "nets.py", "net") is net


def test_the_bytecode_of_an_earlier_source_is_not_used(tmp_path, monkeypatch):
    """Python itself uses it if size and time, in seconds, are the same."""
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    for width in (1, 2, 3):
        (tmp_path / "quick_width.py").write_text(f"WIDTH = {width}\n")
        (tmp_path / "nets.py").write_text(f"from quick_width import WIDTH\n\ndef net():\n    return {width}\n")
        for name in ("quick_width", "nets"):
            os.utime(tmp_path / f"{name}.py", (1e9, 1e9))
        assert attribute_of_file(tmp_path / "nets.py", "net")() == width
        assert attribute_of_file(tmp_path / "nets.py", "WIDTH") == width
