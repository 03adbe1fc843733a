import pytest
import torch

import kdtune
from kdtune.artifacts.training_context import TrainingContext
from tests.energy.machine import bare_machine, clock, gpus, known_cpu, zone  # noqa: F401 - fixtures
from tests.recipes import recipe_of
from tests.results.finished import finished
from tests.studies import small_study
from tests.trainings import distiller, splits, study, teacher, training  # noqa: F401 - fixtures

STRATEGIES = ("fixed", "stochastic")

#: A separate teacher, since it is trained without a meter, unlike those of other tests.
OWN = {"teacher_seed": 7}


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Return two strategies with different students and a teacher in the cache."""
    results = tmp_path_factory.mktemp("results")
    context = TrainingContext(kdtune.load_study(small_study(repeats=1, **OWN)), torch.device("cpu"), threads=1)
    context.train_teacher(context.teacher_folder)
    for seed, name in enumerate(STRATEGIES):
        folder = finished(results, name, trials=1 + seed, **OWN)
        student = context.distiller(recipe_of(context.study, {"loss": "ce"}), seed)
        student.train_epoch()
        torch.save(student.model.state_dict(), folder.weights(0, 0))
        resolved = {**folder.resolved(), "teacher": context.teacher_folder.name}
        folder.write_study(folder.read_study(), {**resolved, "versions": {"device": "cpu"}})
    return results / "small"
