"""Results may come from other people; symbolic links in them must not redirect writes."""

import os

import pytest

from kdtune.errors import ResultsError
from kdtune.results.folder import StudyFolder


@pytest.fixture
def victim(tmp_path):
    """A folder outside the results."""
    file = tmp_path / "victim"
    file.write_text("precious, without an end of line")
    return file


PLACES = ["grid/trials.jsonl", "grid/ledger/node.jsonl", "grid/result.json", "run.toml", "sessions", "grid/checkpoints"]


@pytest.mark.parametrize("place", PLACES)
def test_results_with_a_link_are_refused(tmp_path, victim, place):
    link = tmp_path / "small" / place
    link.parent.mkdir(parents=True)
    link.symlink_to(victim.parent if "." not in place else victim)
    with pytest.raises(ResultsError, match="symbolic link") as refused, StudyFolder(tmp_path / "small").locked():
        pass
    assert str(link) in str(refused.value)


def test_a_lock_file_that_is_a_link_is_not_followed(tmp_path, victim):
    (tmp_path / "small").mkdir()
    (tmp_path / "small" / ".lock").symlink_to(victim)
    with pytest.raises(ResultsError, match="symbolic link"), StudyFolder(tmp_path / "small").locked():
        pass
    assert victim.read_text() == "precious, without an end of line"


def test_a_results_folder_may_be_a_link_itself(tmp_path):
    (tmp_path / "disk").mkdir()
    (tmp_path / "small").symlink_to(tmp_path / "disk")
    with StudyFolder(tmp_path / "small").locked():
        assert os.path.lexists(tmp_path / "disk" / ".lock")
