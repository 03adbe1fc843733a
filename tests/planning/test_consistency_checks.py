"""What strategies that were begun earlier demand of those that join them."""

import pytest

from kdtune.errors import UsageError
from kdtune.planning.consistency_checks import FOLDED, refuse_other_batches
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
