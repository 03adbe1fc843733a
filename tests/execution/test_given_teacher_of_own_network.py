"""Given weights of a user's network for a user's data set, from the command to the results."""

from pathlib import Path

import pytest
import torch

import kdtune
from kdtune.catalog.builtin import MODELS
from kdtune.errors import UsageError
from tests.execution.own_components import OWN
from tests.studies import small_study

SHORT = {**small_study()["training"], "epochs": 1}


def run(**arguments):
    given = {**OWN, "strategies": {"fixed": {"tau": 4}}, "training": SHORT, **arguments.pop("changes", {})}
    study = small_study(**given)
    return kdtune.run_study(study, inline=True, **arguments)


def test_a_users_teacher_at_chance_is_refused_before_anything_is_trained(place):
    study = kdtune.load_study(small_study(**OWN))
    torch.manual_seed(0)
    network = MODELS.load(study.teacher.name, study.teacher.digest)(num_classes=5, in_channels=1, width=8)
    with torch.no_grad():
        network[-1].weight.zero_()  # it always predicts the class with the largest bias
    torch.save(network.state_dict(), "untrained.pt")
    with pytest.raises(UsageError, match="^teacher: the given teacher is no better than chance") as refused:
        run(teacher=Path("untrained.pt"))
    assert "of 140 validation and test images" in str(refused.value)  # 60 and 80
    assert "Nothing was trained; give another file, or accept_teacher=True" in str(refused.value)
    assert not list(place.glob("results/*/*/trials*"))
    accepted = run(teacher=Path("untrained.pt"), accept_teacher=True)
    assert accepted.exit_code == 0, accepted.errors


def test_the_teacher_that_a_study_trained_can_be_given_to_another(place):
    training = {**small_study()["teacher_training"], "epochs": 12, "batch_size": 32}
    run(changes={"teacher_training": training})
    (trained,) = place.glob("cache/teachers/*/teacher.pt")
    trained = trained.rename(place / "trained.pt")
    again = run(teacher=trained, out=place / "again")
    assert again.exit_code == 0, again.errors
    with pytest.raises(
        UsageError, match=r"trained.pt: is for 5 classes, digits has 10: 3.weight \(5x8 instead of 10x8"
    ):
        run(changes={"dataset": "digits", "validation": 400}, teacher=trained, out=place / "digits")
