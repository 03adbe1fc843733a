"""Trainings under the methods and the temperatures that change within one."""

import pytest
import torch

from kdtune.training.captured_steps import CapturedSteps
from tests.trainings import CPU

POINTS = [
    {"tau": 4, "temperature": "cosine"},
    {"tau": 4, "temperature": "instance", "beta": 3.0},
    {"tau": 4, "temperature": "instance", "weights": "cwsm"},
    {"temperature": "dtkd"},
    {"temperature": "normkd"},
    {"temperature": "dts", "large": 0},
    {"temperature": "ctkd", "ramp": 2},
    {"temperature": "meta", "every": 2, "beta": 5.0, "held_out": 0.2},
    {"tau": 2, "loss": "standardized"},
    {"tau": 1.366, "loss": "max-logit"},
    {"tau": 4, "loss": "multi"},
    {"tau": 4, "loss": "dtkd", "ramp": 0.9},
    {"tau": 4, "loss": "ttm", "weight": 2.0},
    {"tau": 4, "loss": "wttm", "weight": 0.5},
    {"tau": 4, "loss": "ea"},
    {"loss": "annealing", "levels": 2},
]


def trained(distiller):
    return [distiller.train_epoch() for _ in range(distiller.epoch, distiller.recipe.training.epochs)]


def test_they_all_train_something_else(training):
    assert len({trained(training(point))[-1].train_loss for point in [*POINTS, {"tau": 4}]}) == len(POINTS) + 1


LEARNED = [{"temperature": "dts", "tau": 16}, {"temperature": "ctkd", "ramp": 2}]


@pytest.mark.parametrize("point", LEARNED, ids=lambda point: point["temperature"])
def test_the_next_training_begins_with_a_temperature_of_its_own(training, point):
    captures = CapturedSteps(CPU)
    trained(training(point, captures))
    again, eager = training(point, captures), training(point)
    assert trained(again) == trained(eager)
    torch.testing.assert_close(again.state_dict()["policy"], eager.state_dict()["policy"], rtol=0, atol=0)
    assert len(captures._kept) == 1  # the graphs of the first training


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_a_learned_temperature_is_trained_by_the_students_optimiser(training, optimizer):
    learned, plain = (training(point, optimizer=optimizer) for point in ({"temperature": "ctkd"}, {"tau": 4}))
    before = learned.state_dict()["policy"]["theta"].item()
    taus = [metrics.tau for metrics in trained(learned)]
    state = learned.state_dict()
    assert before == 1.0 != state["policy"]["theta"].item()
    assert len(set(taus)) == len(taus)
    assert len(state["optimizer"]["state"]) == len(list(plain.model.parameters())) + 1
