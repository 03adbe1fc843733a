"""What strategies that were begun earlier demand of those that join them."""

import pytest

from kdtune.errors import UsageError
from kdtune.planning.consistency_checks import FOLDED, other_numerics, refuse_captured_steps, refuse_other_batches
from kdtune.results.folder import StudyFolder
from kdtune.specs import load_study
from tests.studies import small_study


def test_a_strategy_that_trained_on_the_last_image_by_itself_is_not_mixed_with_later_ones(tmp_path):
    folder = StudyFolder(tmp_path)
    for name, resolved in (("fixed", FOLDED), ("grid", {"teacher": "of-old"})):
        folder.strategy(name).path.mkdir()
        folder.strategy(name).write_study(load_study(small_study()), {**resolved})
    refuse_other_batches([folder.strategy("fixed")])
    with pytest.raises(UsageError, match="grid: was begun by an earlier kdtune.* --out DIR.* --fresh"):
        refuse_other_batches(folder.strategies())


def test_images_stay_on_the_device_if_earlier_steps_were_captured(tmp_path):
    folder = StudyFolder(tmp_path).strategy("grid")
    captured = load_study(small_study(numerics={"compile": "graph"}))
    on_host = load_study(small_study(data={"resident": False})).settled_as(captured)
    refuse_captured_steps([], on_host)
    refuse_captured_steps([folder], captured)
    with pytest.raises(UsageError, match="grid: its steps were captured .* data.resident = true, or .*--out DIR"):
        refuse_captured_steps([folder], on_host)


def test_what_changes_the_bits_of_a_training_is_named_and_what_was_not_recorded_is_not(tmp_path):
    here = {"kdtune": "2", "python": "3.12", "torch": "2.14", "ray": "2", "device": "cpu", "cpu": "Xeon (AVX512)"}
    folder = StudyFolder(tmp_path)
    recorded = {
        "alike": {"versions": {**here, "python": "3.11", "ray": "1", "commit": "a"}},
        "earlier": {"versions": {"torch": "2.14", "device": "cpu"}},
        "moved": {"versions": {**here, "torch": "2.11", "cpu": "EPYC (AVX2)"}},
        "unknown": {},
    }
    for name, resolved in recorded.items():
        folder.strategy(name).path.mkdir()
        folder.strategy(name).write_study(load_study(small_study()), resolved)
    [remark] = other_numerics(folder.strategies(), here)
    assert remark.startswith(f"{tmp_path}/moved: was begun elsewhere")
    assert remark.endswith("torch was 2.11 and is 2.14, the CPU was EPYC (AVX2) and is Xeon (AVX512)")
