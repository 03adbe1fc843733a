"""Students of other strategies are there, or about to be trained, before a strategy that begins with them runs."""

import pytest

from kdtune.errors import SpecError
from kdtune.planning.predecessors import check_predecessors, settings_of_quantised
from kdtune.results.folder import StudyFolder
from kdtune.specs import load_study
from tests.results.finished import finished
from tests.studies import small_study

LISTED = {"none": {}, "qat": {}}


def refusal(folder, *, labels=("qat",), fresh=False, **changes):
    """Return the message of the refusal; None if there is none."""
    study = load_study(small_study(repeats=1, strategies=LISTED, **changes))
    try:
        check_predecessors(study, labels, StudyFolder(folder / study.name), fresh=fresh)
    except SpecError as error:
        return str(error)
    return None


def test_a_predecessor_without_a_chosen_student_has_to_be_finished_first(tmp_path):
    finished(tmp_path, "none", status="interrupted", strategies=LISTED)
    assert "none: has no student for seed 0 yet; finish this strategy with 'kdtune resume" in refusal(tmp_path)
    assert refusal(tmp_path, labels=("none", "qat")) is None


def test_a_predecessor_whose_weights_are_gone_has_to_run_again(tmp_path):
    folder = finished(tmp_path, "none", strategies=LISTED)
    assert "student.pt: is missing; run the strategy none again with --fresh" in refusal(tmp_path)
    folder.weights(0, 0).write_bytes(b"weights")
    assert refusal(tmp_path) is None


@pytest.mark.parametrize("fresh", [False, True])
def test_a_finished_strategy_needs_its_predecessor_only_to_run_afresh(tmp_path, fresh):
    finished(tmp_path, "none", strategies=LISTED)
    finished(tmp_path, "qat", strategies=LISTED)
    assert (refusal(tmp_path, fresh=fresh) is None) == (not fresh)


def test_a_predecessor_of_another_length_is_reported_by_the_check_of_the_folder(tmp_path):
    finished(tmp_path, "none", status="interrupted", strategies=LISTED)
    training = {**small_study()["training"], "epochs": 9}
    assert refusal(tmp_path, training=training) is None
    study = load_study(small_study(repeats=1, strategies=LISTED, training=training))
    with pytest.raises(Exception, match="differs in training.epochs"):
        StudyFolder(tmp_path / study.name).check_free(study, ["qat"], fresh=False)


def test_students_are_quantised_as_earlier_ones_of_the_study(tmp_path):
    study = load_study(small_study(repeats=1, strategies=LISTED))
    assert settings_of_quantised(study, ["none"], [], True) == {}
    assert settings_of_quantised(study, ["none", "qat"], [], True) == {"reduce_range": True}
    earlier = finished(tmp_path, "none", strategies=LISTED)
    assert settings_of_quantised(study, ["qat"], [earlier], True) == {"reduce_range": True}
    earlier.write_study(study, {**earlier.resolved(), "reduce_range": False})
    assert settings_of_quantised(study, ["qat"], [earlier], True) == {"reduce_range": False}
