import sys

import pytest

from kdtune.catalog.local_modules import attribute_of_file, attribute_of_module


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
