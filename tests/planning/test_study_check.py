from io import StringIO

import pytest
import tomli_w
import torch
from rich.console import Console

from kdtune.planning.study_check import check_study
from kdtune.report.check_table import as_json, check_table
from kdtune.storage.paths import data_dir
from tests.studies import small_study

NETS = """
import torch
from torch import nn


class Tiny(nn.Sequential):
    def __init__(self, num_classes, in_channels, width=2):
        super().__init__(
            nn.Conv2d(in_channels, width, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(width, num_classes)
        )


def seven_classes(num_classes, in_channels):
    return Tiny(7, in_channels)


def pair(num_classes, in_channels):
    class Pair(Tiny):
        def forward(self, images):
            return super().forward(images), None

    return Pair(num_classes, in_channels)


def failing(num_classes, in_channels):
    return nn.Linear(5, num_classes)


def partly_trained(num_classes, in_channels):
    net = Tiny(num_classes, in_channels)
    net.head = nn.Linear(3, 4)
    net.forward = lambda images: nn.Sequential(*list(net)[:4])(images)
    return net


class Attention(Tiny):
    def forward(self, images):
        values = self[0](images).flatten(2)
        values = nn.functional.scaled_dot_product_attention(values, values, values)
        return self[3](values.mean(2))


def scripted(num_classes, in_channels):
    net = Tiny(num_classes, in_channels)
    net[0] = torch.jit.script(net[0])
    return net


class Squared(torch.autograd.Function):
    @staticmethod
    def forward(ctx, values):
        ctx.save_for_backward(values)
        return values.square()

    @staticmethod
    def backward(ctx, gradient):
        return 2 * ctx.saved_tensors[0] * gradient


class BackwardAlone(Tiny):
    def forward(self, images):
        return Squared.apply(super().forward(images))


class Branching(Tiny):
    def forward(self, images):
        return super().forward(images if images.sum() > 0 else -images)


def normalised(num_classes, in_channels):
    return nn.Sequential(nn.Flatten(), nn.Linear(64 * in_channels, 4), nn.BatchNorm1d(4), nn.Linear(4, num_classes))
"""

LOSSES = """
import torch


def detached(student, teacher, labels, temperature, alpha):
    return torch.zeros(())
"""

DATA = """
import numpy as np


def gappy():
    images, labels = np.zeros((40, 8, 8), np.uint8), np.arange(40) % 3 + 1
    return (images, labels), (images, labels)


def drawn():
    images, labels = np.random.rand(40, 8, 8), np.arange(40) % 2
    return (images, labels), (images, labels)
"""


@pytest.fixture
def check(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name, source in (("nets.py", NETS), ("losses.py", LOSSES), ("data.py", DATA)):
        (tmp_path / name).write_text(source)

    def check(source=None, **changes):
        return check_study(source or small_study(**changes), [], data_dir(None), None, torch.device("cpu"), 1)

    return check


def told(found):
    return "\n".join(map(str, found.faults))


def test_a_sound_study_has_no_fault_and_its_sizes_are_reported(check):
    found = check(student={"ref": "./nets.py:Tiny", "width": 3})
    assert found.faults == []
    assert (found.data.classes, found.data.shape) == (10, (1, 8, 8))
    student = found.networks["student"]
    assert (student.network, student.parameters) == ("nets.py:Tiny(width=3)", 3 * 9 + 3 + 3 * 10 + 10)
    assert student.macs == 3 * 9 * 36 + 3 * 36 + 3 * 10  # convolution, pooling, linear layer
    assert {(step.tau, step.precision) for step in found.steps} == {
        (tau, precision) for tau in (2, 10) for precision in ("float32", "bfloat16")
    }
    assert all(step.memory_bytes is None and step.loss > 0 for step in found.steps)


def test_operators_that_are_not_counted_are_named_in_the_table_and_in_json(check):
    found = check(teacher="./nets.py:scripted", student="./nets.py:Attention")
    assert found.faults == []
    networks = as_json(found)["networks"]
    assert networks["student"]["uncounted"] == ("scaled_dot_product_attention",)
    assert networks["student"]["macs"] == 2 * 9 * 36 + 2 * 10
    assert networks["teacher"]["uncounted"] == () and networks["teacher"]["macs"] == 2 * 9 * 36 + 2 * 10
    console = Console(record=True, width=200, file=StringIO())
    console.print(check_table(found))
    lines = [" ".join(line.split()) for line in console.export_text().splitlines()]
    assert "teacher nets.py:scripted: 50 parameters, 0.000668 M MACs per image" in lines
    assert (
        "student nets.py:Attention: 50 parameters, 0.000668 M MACs per image "
        "(not counted: scaled_dot_product_attention)"
    ) in lines


@pytest.mark.parametrize(
    ("network", "problem"),
    [
        ("seven_classes", r"its output has the shape \(2, 7\); expected are logits of shape \(2, 10\)"),
        ("pair", "its output is a tuple of 2 values; expected are logits"),
        ("failing", "fails for images of 1 x 8 x 8 in training mode: RuntimeError"),
    ],
)
def test_a_network_whose_output_does_not_fit_is_a_fault(check, network, problem):
    found = check(student=f"./nets.py:{network}")
    assert len(found.faults) == 1
    assert found.faults[0].key == "student"
    with pytest.raises(AssertionError, match=problem):
        raise AssertionError(told(found))


def test_a_last_batch_of_one_is_a_fault_for_a_network_that_needs_two_images(check):
    training = {**small_study()["training"], "batch_size": 1}
    assert "batch_size" in told(check(student="./nets.py:normalised", training=training))


def test_parameters_that_no_gradient_reaches_are_a_remark(check):
    found = check(student="./nets.py:partly_trained")
    assert found.faults == []
    assert found.remarks == [
        "student nets.py:partly_trained: no gradient reaches head.weight, head.bias: they are not trained"
    ]


def test_a_network_that_a_strategy_cannot_look_ahead_with_is_a_fault_of_that_strategy(check):
    strategies = {"none": {}, "learned": {"strategy": "single", "temperature": "meta"}}
    [fault] = check(student="./nets.py:BackwardAlone", strategies=strategies).faults
    assert fault.key == "strategies.learned"
    assert fault.problem.startswith("model nets.py:BackwardAlone: the temperature 'meta' needs derivatives in forward")
    assert check(student="./nets.py:Tiny", strategies=strategies).faults == []


def test_a_loss_and_networks_are_checked_although_the_data_set_has_a_fault(check):
    found = check(
        dataset="./data.py:gappy",
        teacher="./nets.py:missing",
        student={"ref": "./nets.py:Tiny", "width": 3},
        loss={"ref": "./losses.py:detached", "power": 2},
    )
    assert {fault.key for fault in found.faults} == {"dataset", "teacher", "loss"}
    assert "nets.py has no 'missing'; it defines" in told(found)
    assert "unexpected keyword argument 'power'" in told(found)


def test_options_of_networks_are_checked_although_the_data_set_has_a_fault(check):
    found = check(dataset="./data.py:gappy", student={"ref": "./nets.py:Tiny", "widht": 3}, teacher="convnet_32")
    assert {fault.key for fault in found.faults} == {"dataset", "student"}
    assert "widht is no option of" in told(found)


def test_labels_with_a_gap_are_a_fault(check):
    expected = "data set data.py:gappy: train: image 2 has label 3, but there are 3 different labels"
    assert expected in told(check(dataset="./data.py:gappy"))


def test_all_faults_are_reported_at_once(check):
    found = check(
        student="./nets.py:seven_classes",
        teacher="./nets.py:failing",
        loss="hkdd",
        repeats=0,
        training={**small_study()["training"], "epoch": 3},
        strategies={"gird": {}},
    )
    keys = {fault.key for fault in found.faults}
    assert keys == {"student", "teacher", "loss", "repeats", "training.epoch", "strategies.gird"}


NOTHING = """
from kdtune.strategies.base import OneRound


class Nothing(OneRound):
    def suggestions(self):
        return []
"""


def test_what_strategies_ask_for_is_checked_although_another_setting_is_not_valid(check, tmp_path):
    (tmp_path / "search.py").write_text(NOTHING)
    training, mine = {**small_study()["training"], "epoch": 3}, {"strategy": f"{tmp_path}/search.py:Nothing"}
    found = check(repeats=0, training=training, strategies={"mine": mine})
    assert {fault.key for fault in found.faults} == {"repeats", "training.epoch", "strategies.mine"}
    assert "its first round is empty" in told(found) and found.study is None


def test_a_data_set_that_returns_other_images_each_time_is_a_fault(check):
    expected = "dataset: data set data.py:drawn: returns other images or labels each time it is called"
    assert expected in told(check(dataset="./data.py:drawn", validation=0.2))


def test_a_student_that_cannot_be_quantised_is_a_fault_only_where_a_strategy_quantises_it(check):
    pytest.importorskip("torchao")
    assert check(student="./nets.py:Branching").faults == []
    text = told(check(student="./nets.py:Branching", strategies={"none": {}, "ptq": {}}))
    assert "cannot be quantised, since torch.export does not accept it" in text
    assert "leave out the strategies ptq" in text


def test_a_check_of_a_study_without_data_trains_no_teacher_even_if_the_teacher_is_refused(check, tmp_path, monkeypatch):
    monkeypatch.setenv("KDTUNE_CACHE_DIR", str(tmp_path / "cache"))
    synthesis = {"ref": "deep-inversion", "images": 48, "held_out": 16, "batch_size": 24, "iterations": 3}
    found = check(teacher="./nets.py:Tiny", alpha=1, synthesis=synthesis, strategies={"fixed": {}})
    assert [fault.key for fault in found.faults] == ["teacher"]
    assert "of which this network has none; use a teacher with batch normalisation" in told(found)
    assert {folder.name for folder in (tmp_path / "cache").iterdir()} == {"decoded"}


DETECTOR = """
import torch
from torch import nn


class Detector(nn.Module):
    def __init__(self, num_classes, in_channels, move=0):
        super().__init__()
        self.move = move
        self.body = nn.Sequential(nn.Conv2d(in_channels, num_classes + 5, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten())

    def anchors(self, shape):
        return torch.tensor([[0.0, 0.0, 40.0, 40.0]]) + self.move

    def forward(self, images):
        return self.body(images)


class Classifier(Detector):
    anchors = None
"""


@pytest.mark.parametrize(
    ("student", "expected"),
    [
        ({"ref": "./detectors.py:Detector", "move": 3}, {"student": "have different anchors"}),
        ("./detectors.py:Classifier", {"student": "has no anchors, so it is no detector"}),
    ],
    ids=["other-anchors", "no-detector"],
)
def test_what_a_task_refuses_is_reported_once_beside_the_other_faults(check, tmp_path, student, expected):
    (tmp_path / "detectors.py").write_text(DETECTOR)
    teacher, wrong = "./detectors.py:Detector", {"search_space": {"tau": {"values": [0]}}}
    for changes, further in (({}, set()), (wrong, {"search_space"})):
        found = check(task="detection", dataset="digits_on_canvases", teacher=teacher, student=student, **changes)
        assert sorted(fault.key for fault in found.faults) == sorted({*expected, *further})
        assert all(text in told(found) for text in expected.values())
        assert found.data.classes == 10


def test_what_a_task_refuses_names_the_file_of_the_study(check, tmp_path):
    file = tmp_path / "mine.toml"
    file.write_text(tomli_w.dumps(small_study(task="detection")))
    assert "mine.toml: dataset: digits has no boxes" in told(check(file))
