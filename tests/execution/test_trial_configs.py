"""Configs of trials from a user's own tuner, which no command has checked."""

import pytest

from kdtune.errors import SpecError
from kdtune.execution.trial_training import TrialWorker
from kdtune.planning.resources import Resources
from tests.studies import small_study

NETS = """
from torch import nn


def seven(num_classes, in_channels):
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 7))
"""


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"tau": 4}, "param_space: study: is missing; give the name"),
        ({"study": small_study(), "tau": 4, "seed": "a"}, "param_space: seed: has to be an integer from 0"),
        ({"study": small_study(), "tau": 4, "seed": -1}, "param_space: seed: has to be an integer from 0"),
        ({"study": small_study(), "tau": 1e9}, "point: tau: has to lie between 0.0001 and 10000"),
        ({"study": small_study(), "tau": 4, "alpha": 5}, r"point: alpha: has to lie in \[0, 1\], got 5"),
        ({"study": small_study(), "tau": 4, "learning_rate": -1}, "point: learning_rate: has to be greater than 0"),
        ({"study": small_study(), "loss": "ce", "longer": 1e9}, "point: longer: has more than 100,000 epochs"),
    ],
)
def test_a_config_that_cannot_be_trained_is_refused_by_key(config, message):
    with pytest.raises(SpecError, match=message):
        TrialWorker(Resources(1, 0)).take_on(config)


@pytest.mark.parametrize("key", ["teacher", "student"])
def test_networks_are_checked_before_a_teacher_is_trained(tmp_path, key):
    (tmp_path / "nets.py").write_text(NETS)
    config = {"study": small_study(**{key: f"{tmp_path}/nets.py:seven"}), "tau": 4}
    with pytest.raises(SpecError, match=rf"study: {key}: model nets.py:seven: .* its output has the shape \(2, 7\)"):
        TrialWorker(Resources(1, 0)).take_on(config)
