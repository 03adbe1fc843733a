"""What strategies that were begun earlier demand of those that join them."""

import pytest

from kdtune.errors import UsageError
from kdtune.planning.consistency_checks import FOLDED, refuse_captured_steps, refuse_other_batches
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
