"""A quantised student is written while it stays where it is tested."""

import pytest
import torch

from kdtune.quantisation.finished import QuantisedStudent
from kdtune.quantisation.networks import load_int8
from kdtune.quantisation.training import prepared_student
from kdtune.testing.trainings import TASK
from tests.recipes import recipe_of

pytest.importorskip("torchao")

SHAPE = torch.Size((1, 8, 8))


def test_writing_it_leaves_the_tested_network_on_its_device(study, tmp_path):
    recipe = recipe_of(study, {"loss": "ce", "quantised": "ptq"})
    start = TASK.network(recipe.model, SHAPE).state_dict()
    prepared = prepared_student(recipe, TASK, SHAPE, start)
    images = torch.randn(4, *SHAPE)
    prepared.train()(images)
    elsewhere = torch.device("meta")  # a device that every machine has
    student = QuantisedStudent(recipe, TASK, SHAPE, elsewhere, start, prepared.state_dict())
    student.write(tmp_path / "student.pt")
    assert {one.device for one in student.model.state_dict().values()} == {elsewhere}
    written = load_int8(tmp_path / "student-int8.pt2")
    assert written(images).device.type == "cpu"
    assert written(images).isfinite().all()
