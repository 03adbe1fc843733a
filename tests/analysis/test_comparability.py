"""Readable descriptions of results that cannot be compared."""

import pytest

from kdtune.analysis.comparability import differences, in_words
from tests.results.several import ran


def test_a_study_is_named_instead_of_all_its_strategies(tmp_path):
    folders = [ran(tmp_path, name, [0.7], name="one") for name in ("grid", "stochastic", "none")]
    folders += [ran(tmp_path, name, [0.7], name="two", alpha=0.5) for name in ("grid", "stochastic")]
    odd = folders[2]
    odd.write_study(odd.read_study(), {**odd.resolved(), "cpus_per_trial": 2.0})
    assert differences(folders) == [
        "loss: alpha 0.95 (one); alpha 0.5 (two)",
        "cores for each trial: cpus_per_trial 1.0 (one/grid, one/stochastic, two); cpus_per_trial 2.0 (one/none)",
    ]
    assert differences(folders, ("loss", "cores for each trial")) == []


def test_studies_of_one_name_are_named_by_their_paths(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folders = [
        ran(tmp_path / place, name, [0.7], alpha=alpha)
        for place, alpha in (("a", 0.5), ("b", 0.9))
        for name in ("grid", "none")
    ]
    assert differences(folders) == ["loss: alpha 0.5 (a/small); alpha 0.9 (b/small)"]


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (["crop", "flip"], "crop flip"),
        ([], "none"),
        (None, "none"),
        ({"values": [2, 6], "log": False}, "values 2 6, log False"),
    ],
)
def test_settings_are_formatted_for_readers(value, words):
    assert in_words(value) == words
