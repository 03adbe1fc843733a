"""Trainings of detectors on four-pixel squares and crosses: captured, resumed and replayed, and what is refused."""

import numpy as np
import pytest
import torch

from kdtune.catalog.builtin import LOSSES, TEMPERATURES
from kdtune.errors import SpecError, UsageError
from kdtune.specs import load_study
from kdtune.specs.component import Component
from kdtune.specs.data_info import DataInfo
from kdtune.specs.numerics import PLAIN
from kdtune.specs.suggestion import Suggestion
from kdtune.tasks.detection.annotations import Annotated, packed
from kdtune.tasks.detection.network_checks import anchors_of
from kdtune.tasks.detection.task import Detection
from kdtune.tasks.loading import objective_of, task_of
from kdtune.temperature.loading import policy_class
from kdtune.training.captured_steps import CapturedSteps
from kdtune.training.distiller import Distiller
from kdtune.training.numerics import Arithmetic
from kdtune.training.resolution import resolved_recipe
from kdtune.training.teacher_logits import LiveTeacher, ReplayedTeacher
from tests.recipes import recipe_of

CPU = torch.device("cpu")
SIDE, CLASSES = 32, 2
TRAINING = {"epochs": 2, "batch_size": 16, "learning_rate": 0.02, "augment": ["flip"]}


def study_of(**changes):
    return load_study(
        {
            "task": "detection",
            "dataset": "digits_on_canvases",
            "teacher": "ssd_16_32_64_64",
            "student": "ssdlite_4_6_8_8",
            "loss": "hkd",
            "search_space": {"tau": {"low": 2, "high": 20, "step": 1}},
            "validation": 8,
            "training": TRAINING,
            "teacher_training": TRAINING,
            "strategies": {"grid": {}},
            **changes,
        }
    )


STUDY = study_of()


def part(count, seed):
    """Images of noise with one bright square (class 0) or cross (class 1) of 12 pixels; every fifth has none."""
    draw = np.random.default_rng(seed)
    images, objects = draw.integers(0, 60, (count, 1, SIDE, SIDE)).astype(np.uint8), []
    for number, image in enumerate(images):
        label, (top, left) = number % CLASSES, draw.integers(0, SIDE - 12, 2)
        place = image[0, top : top + 12, left : left + 12]
        if label:
            place[4:8] = place[:, 4:8] = 220
        else:
            place[:] = 220
        objects.append(np.array([[label, 0, left, top, left + 12, top + 12]], np.float32)[: int(number % 5 > 0)])
    return Annotated(images, objects)


ARRAYS = packed(part(36, 0), part(8, 1), ("square", "cross"))
#: Images and objects of the training and of the test part.
PARTS = [(ARRAYS.train_images, ARRAYS.train_labels), (ARRAYS.test_images, ARRAYS.test_labels)]
INFO = DataInfo(classes=2, shape=(1, SIDE, SIDE), train_images=36, test_images=8, annotations="boxes")
TASK = Detection(CLASSES, (1, SIDE, SIDE), anchors_of(STUDY.student, (1, SIDE, SIDE), CLASSES))


@pytest.fixture(scope="module")
def splits():
    return TASK.splits(ARRAYS, STUDY, CPU)


@pytest.fixture(scope="module")
def teacher():
    torch.manual_seed(1)
    model = TASK.network(STUDY.teacher, (1, SIDE, SIDE))
    return model.eval().requires_grad_(False)


def training(splits, point, teacher=None, captures=None, study=STUDY):
    asked = LiveTeacher(teacher, Arithmetic(CPU)) if isinstance(teacher, torch.nn.Module) else teacher
    return Distiller(recipe_of(study, point), 0, TASK, splits, CPU, asked, Arithmetic(CPU, PLAIN), captures=captures)


def trained(distiller):
    metrics = []
    while not distiller.done:
        metrics.append(distiller.train_epoch())
    return metrics, distiller.state_dict()["model"]


POINTS = [{"tau": 4}, {"temperature": "stochastic"}, {"loss": "ce"}]


@pytest.mark.parametrize("point", POINTS, ids=["fixed", "stochastic", "alone"])
def test_a_detector_is_trained_the_same_captured_and_eagerly_and_after_an_interruption(point, splits, teacher):
    metrics, weights = trained(training(splits, point, teacher))
    assert metrics[-1].val_accuracy is None and 0 <= metrics[-1].val_objective <= 1
    captured_metrics, captured = trained(training(splits, point, teacher, CapturedSteps(CPU)))
    assert metrics == captured_metrics
    torch.testing.assert_close(weights, captured, rtol=0, atol=0)
    begun, resumed = training(splits, point, teacher), training(splits, point, teacher)
    first = begun.train_epoch()
    resumed.load_state_dict(begun.state_dict())
    assert [first, *trained(resumed)[0]] == metrics
    torch.testing.assert_close(resumed.state_dict()["model"], weights, rtol=0, atol=0)


#: Temperatures of which a study may take any; ``annealing`` is that of the method of this name.
POLICIES = [name for name in TEMPERATURES if name != "annealing"]
SHORT = {**TRAINING, "epochs": 1}


def learned(splits, teacher, study, point):
    """The metrics of the epochs, of which none is undefined."""
    metrics, weights = trained(training(splits, point, teacher, study=study))
    assert all(np.isfinite(one.train_loss) for one in metrics)
    assert all(bool(one.isfinite().all()) for one in weights.values())
    return metrics


@pytest.mark.parametrize(
    ("name", "loss"), [*((name, "hkd") for name in POLICIES), ("fixed", "cmc"), ("stochastic", "cmc")]
)
def test_every_temperature_serves_detection(name, loss, splits, teacher):
    has_tau = "tau" in policy_class(name).Options.model_fields
    point = {"temperature": name, **({"tau": 4} if has_tau else {})}
    [metrics] = learned(splits, teacher, study_of(loss=loss, training=SHORT), point)
    assert metrics.tau > 0


def test_a_tau_of_its_own_for_each_image_is_that_of_all_its_anchors(splits, teacher):
    suggestion = Suggestion(temperature=Component(name="stochastic", options={"draw": "sample"}))
    recipe = resolved_recipe(study_of(training=SHORT), suggestion)
    distiller = Distiller(recipe, 0, TASK, splits, CPU, LiveTeacher(teacher, Arithmetic(CPU)), Arithmetic(CPU, PLAIN))
    assert np.isfinite(distiller.train_epoch().train_loss)


@pytest.mark.parametrize("name", [name for name in LOSSES if LOSSES.facts_of(name)["needs_teacher"]])
def test_every_method_serves_detection(name, splits, teacher):
    has_phases = LOSSES.facts_of(name).get("has_phases")
    metrics = learned(splits, teacher, study_of(loss=name), {} if has_phases else {"tau": 4})
    assert [one.tau is None for one in metrics] == [False, bool(has_phases)]


def test_replayed_outputs_of_the_teacher_train_the_same_student(splits, teacher):
    train, index = splits.train, torch.arange(len(splits.train))

    def rows(epoch):
        return LiveTeacher(teacher, Arithmetic(CPU))(train.changed(index, ("flip",), 0, epoch), index)

    assert rows(0).shape == (28, TASK.output_size) and not torch.equal(rows(0), rows(1))
    live, _ = trained(training(splits, {"tau": 4}, teacher))
    replayed, _ = trained(training(splits, {"tau": 4}, ReplayedTeacher(rows, CPU)))
    assert [one.train_loss for one in replayed] == pytest.approx([one.train_loss for one in live], rel=1e-4)


def test_one_class_alone_is_learned_and_judged(splits):
    one = packed(
        *(Annotated(images, [rows[rows[:, 0] == 0] for rows in objects]) for images, objects in PARTS), ("square",)
    )
    task = Detection(1, TASK.shape, anchors_of(STUDY.student, TASK.shape, 1))
    parts = task.splits(one, STUDY, CPU)
    torch.manual_seed(1)
    teacher = LiveTeacher(task.network(STUDY.teacher, TASK.shape).eval().requires_grad_(False), Arithmetic(CPU))
    recipe = recipe_of(study_of(training=SHORT), {"tau": 4})
    metrics = Distiller(recipe, 0, task, parts, CPU, teacher, Arithmetic(CPU, PLAIN)).train_epoch()
    assert np.isfinite(metrics.train_loss) and np.isfinite(metrics.val_loss) and 0 <= metrics.val_objective <= 1


def test_no_gradient_reaches_the_teacher(splits):
    model = TASK.network(STUDY.teacher, (1, SIDE, SIDE)).eval()
    next(training(splits, {"tau": 4}, model).steps())
    assert all(one.grad is None for one in model.parameters())


def test_a_batch_without_objects_trains_nothing_and_is_finite(splits, teacher):
    empty = (splits.train.labels[:, 0, 0] < 0).nonzero().flatten()
    distiller = training(splits, {"tau": 4}, teacher)
    before = {name: one.clone() for name, one in distiller.model.named_parameters()}
    images, targets = splits.train.batch(empty, None)
    teacher_outputs = LiveTeacher(teacher, Arithmetic(CPU))
    from kdtune.temperature.base import Temperature

    def tau(student, teacher, labels):
        return Temperature.same(torch.tensor(4.0))

    assert distiller._training_step.take(images, targets, empty, teacher_outputs, tau) == 0
    after = dict(distiller.model.named_parameters())
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_a_detector_learns_and_its_metrics_are_those_of_its_predictions(splits):
    recipe = study_of(training={**TRAINING, "epochs": 30, "batch_size": 8, "augment": [], "learning_rate": 0.05})
    distiller = training(splits, {"loss": "ce"}, study=recipe.model_copy(update={"student": STUDY.teacher}))
    metrics, _ = trained(distiller)
    assert metrics[-1].val_objective > 0.5 > metrics[0].val_objective
    found = TASK.evaluate(distiller.model, splits.test)
    every = TASK.test_metrics(found.predictions, splits.test)
    assert list(every) == ["map", "map_area", "map_coco", "map_coco_50", "map_coco_75"]
    assert every["map"] == found.metrics["map"] > 0.3 and every["map_coco"] < every["map_coco_50"]
    assert TASK.disagreement(found.predictions, found.predictions) == 0
    assert TASK.disagreement(found.predictions, found.predictions.flip(0)) > 0.5
    facts = TASK.teacher_facts([(found, splits.test)])
    assert 0 < facts["chance_objective"] < 0.7 * every["map"]
    table = TASK.documents(found.predictions, splits.test, ("square", "cross"))["per-class"].splitlines()
    assert table[0] == "class,objects,detections,ap,ap_area"
    assert [line.split(",")[:2] for line in table[1:]] == [["square", "4"], ["cross", "3"]] or len(table) == 3


def test_the_split_keeps_images_without_objects_in_proportion_and_names_missing_classes(splits):
    assert [len(one) for one in (splits.train, splits.validation, splits.test)] == [28, 8, 8]
    without = [int((one.labels[..., 0] < 0).all(1).sum()) for one in (splits.train, splits.validation)]
    assert without == [6, 2] and TASK.remarks(ARRAYS, splits) == []
    whole = packed(part(36, 0), part(8, 1), ("square", "cross", "circle"))
    three = Detection(3, TASK.shape, anchors_of(STUDY.student, TASK.shape, 3))
    remarks = three.remarks(whole, three.splits(whole, STUDY, CPU))
    assert remarks[0] == "1 of 3 classes have no training object: no network learns them" and len(remarks) == 2


def test_a_part_without_objects_is_refused():
    nothing = Annotated(ARRAYS.test_images, [np.zeros((0, 6), np.float32)] * 8)
    with pytest.raises(UsageError, match="no image of the test part has an object to be found"):
        TASK.splits(packed(part(36, 0), nothing, ("square", "cross")), STUDY, CPU)


def test_the_task_of_a_study_and_its_objective():
    assert task_of(STUDY) == Detection(10, (1, 64, 64), torch.zeros(160, 4))
    assert objective_of(STUDY).name == "map" and objective_of(study_of(objective="map_area")).name == "map_area"


CLASSIFYING = {"task": "classification", "teacher": "convnet_32", "student": "convnet_2_4_4"}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"dataset": "digits"}, "digits has no boxes; name a data set with boxes"),
        (CLASSIFYING, 'digits_on_canvases has boxes in place of classes; write task = "detection"'),
        (
            {**CLASSIFYING, "dataset": "digits", "training": {**TRAINING, "augment": ["zoom-out"]}},
            "training.augment: 'zoom-out' needs boxes, so it is for detection alone; remove it",
        ),
        ({"training": {**TRAINING, "augment": ["rotate"]}}, "training.augment: 'rotate' would leave boxes"),
        ({"training": {**TRAINING, "class_weights": "balanced"}}, "class_weights: detection has no class weights"),
        ({"student": {"ref": "ssdlite_4_6_8_8", "ratios": [2]}}, r"different anchors \(160 and 320\), but .*by anchor"),
        (
            {"student": {"ref": "ssdlite_4_6_8_8", "scales": [0.2, 0.35, 0.5]}},
            r"different anchors \(anchor 0 is \(-4.0, -4.0, 12.0, 12.0\) and \(-2.4, -2.4, 10.4, 10.4\)\)",
        ),
    ],
    ids=["classes", "boxes", "zoom-out", "rotate", "weights", "fewer", "others"],
)
def test_a_study_that_cannot_be_one_of_detection_is_refused_with_the_remedy(changes, message):
    with pytest.raises(SpecError, match=message):
        task_of(study_of(**changes))


OWN = """
import torch
from torch import nn

class Own(nn.Module):
    def __init__(self, num_classes, in_channels, device="cpu", numbers=None):
        super().__init__()
        self.layer, self.classes, self.device = nn.Conv2d(in_channels, num_classes + 5, 16, 16), num_classes, device
        self.numbers = numbers

    def anchors(self, shape):
        corner = torch.cartesian_prod(*[torch.arange(0.0, size, 16, device=self.device) for size in shape[1:]])
        return torch.cat([corner, corner + 16], dim=1)

    def forward(self, images):
        found = self.layer(images).flatten(2)
        outputs = torch.cat([found[:, :-4].mT.flatten(1), found[:, -4:].mT.flatten(1)], dim=1)
        return outputs[:, : self.numbers] if self.numbers else outputs
"""


@pytest.fixture
def own(tmp_path):
    (tmp_path / "own.py").write_text(OWN)
    return lambda **options: Component(name=f"{tmp_path / 'own.py'}:Own", options=options)


def test_a_detector_of_ones_own_is_checked(own):
    assert anchors_of(own(), INFO.shape, 2).tolist()[1] == [0, 16, 16, 32]
    assert Detection.check_network(own(), INFO)(torch.zeros(1, *INFO.shape)).shape == (1, 4 * 7)
    with pytest.raises(UsageError, match="anchors.* are on torch's meta device.* create them on the CPU"):
        anchors_of(own(device="meta"), INFO.shape, 2)
    with pytest.raises(UsageError, match=r"output is a tensor of shape \(2, 27\); expected is \(2, 28\)"):
        Detection.check_network(own(numbers=27), INFO)
    with pytest.raises(UsageError, match="resnet20: has no anchors, so it is no detector"):
        Detection.check_network(Component(name="resnet20"), INFO)
