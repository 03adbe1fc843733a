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
    assert sys.path == before


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
