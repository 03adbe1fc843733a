"""The conformance suite over every registered temperature, with the examples that each names with its options."""

import subprocess
import sys

import pytest

from kdtune.catalog.builtin import TEMPERATURES
from kdtune.testing.temperature_calls import epoch_of, made
from kdtune.testing.temperatures import TemperatureConformance, examples
from kdtune.training.step_temperatures import can_be_captured


class TestBuiltIn(TemperatureConformance):
    @pytest.fixture(params=[example for name in TEMPERATURES for example in examples(name)], ids=str)
    def temperature(self, request):
        return request.param

    def test_the_mean_tau_of_an_epoch_is_logged(self, temperature):
        policy = made(temperature)
        epoch_of(policy)
        assert isinstance(policy.epoch_tau(), float)


@pytest.mark.parametrize("name", TEMPERATURES)
def test_steps_are_captured_under_every_temperature_but_the_one_that_looks_ahead(name):
    assert can_be_captured(made(examples(name)[0])) == (name != "meta")


@pytest.mark.parametrize("name", TEMPERATURES)
def test_every_temperature_names_examples(name):
    assert TEMPERATURES.load(name).Options.model_json_schema()["examples"]


def test_options_are_validated_without_torch():
    code = (
        "import sys; from kdtune.catalog.builtin import TEMPERATURES as table;"
        "[table.load(name).Options for name in table];"
        "sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
