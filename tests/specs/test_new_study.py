import pytest

from kdtune.errors import UsageError
from kdtune.specs import load_study
from kdtune.specs.new_study import write_study
from kdtune.specs.study_components import find_components


def test_the_file_that_is_written_is_a_valid_study_with_paths_relative_to_itself(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "nets.py").write_text("def tiny(num_classes, in_channels):\n    return None\n")
    named = {"dataset": "digits", "teacher": "convnet_32", "student": "./nets.py:tiny", "loss": "hkd"}
    path = tmp_path / "studies" / "mine.toml"
    write_study(path, "mine", find_components(named))
    assert 'student = "../nets.py:tiny"' in path.read_text()
    study = load_study(path)
    assert (study.name, study.student.name, study.alpha) == ("mine", f"{tmp_path}/nets.py:tiny", 0.95)
    assert set(study.strategies) == {"grid", "random", "optuna", "stochastic", "fixed", "none"}


def test_a_file_is_never_overwritten(tmp_path):
    (tmp_path / "mine.toml").write_text("precious")
    with pytest.raises(UsageError, match="exists already and is not overwritten"):
        write_study(tmp_path / "mine.toml", "mine", {})
    assert (tmp_path / "mine.toml").read_text() == "precious"


def test_a_name_that_is_not_valid_for_a_folder_is_refused(tmp_path):
    with pytest.raises(UsageError, match="'a/b' is not a valid name"):
        write_study(tmp_path / "x.toml", "a/b", {})
