"""Teachers with fitting weights that are no better than chance."""

import pytest
import torch
from scipy.stats import binom

from kdtune.artifacts.given_teacher import read_given, with_given_teacher
from kdtune.artifacts.teacher_chance import SIGNIFICANCE, chance_problem, is_at_chance, refuse_at_chance
from kdtune.artifacts.teacher_record import read_record
from kdtune.artifacts.training_context import TrainingContext
from kdtune.catalog.builtin import MODELS
from kdtune.energy.flops import Workload
from kdtune.errors import UsageError
from kdtune.specs import load_study
from tests.studies import small_study

CPU = torch.device("cpu")
ORDER = torch.tensor([1, 2, 3, 4, 5, 6, 7, 8, 9, 0])


@pytest.mark.parametrize(
    ("right", "images", "chance", "expected"),
    [
        (100, 1000, 0.1, True),
        (90, 1000, 0.1, True),
        (0, 1000, 0.1, True),
        (125, 1000, 0.1, True),  # P(X >= 125) = 0.006
        (135, 1000, 0.1, False),  # 0.0002
        (8, 20, 0.1, False),  # 0.0004
        (7, 20, 0.1, True),  # 0.0024
        (1000, 1000, 1.0, True),  # with a single class, no teacher can be better
        (70, 1000, 0.05, True),
    ],
)
def test_the_criterion_is_a_one_sided_binomial_test_at_a_thousandth(right, images, chance, expected):
    assert is_at_chance(right, images, chance) is expected


@pytest.mark.parametrize(("images", "chance"), [(1, 0.5), (10, 0.9), (997, 0.1), (10_000, 0.01), (50_000, 1 / 3)])
def test_the_criterion_is_that_of_scipy(images, chance):
    """SciPy gives the least number of images that has to be classified correctly, and the last one that is too low."""
    enough = int(binom.isf(SIGNIFICANCE, images, chance)) + 1
    for right in {0, enough - 2, enough - 1, enough, enough + 1, images}:
        assert is_at_chance(right, images, chance) == (binom.sf(right - 1, images, chance) > SIGNIFICANCE), right


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Return the weights of a teacher that was trained on digits."""
    training = {"epochs": 6, "batch_size": 32, "learning_rate": 0.05}
    context = TrainingContext(load_study(small_study(teacher_training=training)), CPU, threads=1)
    folder = tmp_path_factory.mktemp("teacher")
    context.train_teacher(folder)
    return torch.load(folder / "teacher.pt", weights_only=True)


def measured(weights, file, **changes):
    """Return the study with these weights as its teacher, the record of the evaluation, and the sizes of the data."""
    torch.save(weights, file)
    study = with_given_teacher(load_study(small_study(**changes)), file)
    read_given(file, study, "x").keep()
    context = TrainingContext(study, CPU, threads=1)
    (file.parent / "measured").mkdir(exist_ok=True)
    context.measure_teacher(file.parent / "measured")
    return study, read_record(file.parent / "measured"), context.workload()


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("KDTUNE_CACHE_DIR", str(tmp_path / "cache"))


def test_a_trained_teacher_passes(trained, tmp_path):
    study, record, workload = measured(trained, tmp_path / "mine.pt")
    assert record["val_accuracy"] > 0.8 and record["reordered_accuracy"] > 0.8
    assert chance_problem(study, record, workload) is None
    refuse_at_chance(None)


def test_a_teacher_with_permuted_classes_is_refused(trained, tmp_path):
    last = list(trained)[-2:]
    permuted = {name: value[ORDER] if name in last else value for name, value in trained.items()}
    study, record, workload = measured(permuted, tmp_path / "mine.pt")
    problem = chance_problem(study, record, workload)
    known = measured(trained, tmp_path / "as it was.pt")[1]["reordered_accuracy"]
    assert f"(with the best-fitting order, {known:.1%} of its predictions would be right)" in problem
    assert "no better than chance" in problem and "never trained" in problem
    with pytest.raises(UsageError, match="--accept-teacher"):
        refuse_at_chance(problem)


@pytest.mark.parametrize("seed", range(3))
def test_an_untrained_teacher_is_refused(tmp_path, seed):
    torch.manual_seed(seed)
    assert chance_problem(*measured(MODELS.load("resnet20")(1, 10).state_dict(), tmp_path / "m.pt", teacher="resnet20"))


def test_a_teacher_that_always_predicts_one_class_is_refused(trained, tmp_path):
    last = list(trained)[-2:]
    constant = {name: torch.zeros_like(value) if name in last else value for name, value in trained.items()}
    constant[last[-1]][3] = 1.0
    study, record, workload = measured(constant, tmp_path / "mine.pt")
    assert chance_problem(study, record, workload)
    assert 0.1 < record["chance_accuracy"] < 0.11


def test_the_record_of_an_earlier_release_is_judged_by_equal_classes(trained, tmp_path):
    study, record, workload = measured(trained, tmp_path / "mine.pt")
    old = {key: value for key, value in record.items() if key not in ("chance_accuracy", "reordered_accuracy")}
    assert chance_problem(study, old, workload) is None
    problem = chance_problem(study, {**old, "val_accuracy": 0.1, "test": {"accuracy": 0.1}}, workload)
    assert "the most frequent class gives 10.0%" in problem and "best-fitting" not in problem


def test_a_detector_no_better_than_its_detections_of_other_images_is_at_chance():
    study, sizes = load_study("digits-detection"), Workload(1, 1, 800, 300, 300)
    record = {"val_accuracy": None, "val_objective": 0.05, "test": {"map": 0.07}, "chance_objective": 0.06}
    problem = chance_problem(study, record, sizes)
    assert "its mAP on 600 validation and test images is 6.0%, and that of its predictions for other" in problem
    assert chance_problem(study, record | {"val_objective": 0.06}, sizes) is None
    assert chance_problem(study, {**record, "chance_objective": None}, sizes) is None  # of an earlier release
