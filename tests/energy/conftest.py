import pytest

from tests.energy.machine import bare_machine, clock, gpus, known_cpu, zone  # noqa: F401 - fixtures


@pytest.fixture(scope="module", autouse=True)
def alone(without_ray):
    """Make sure that no Ray of an earlier test runs, since these tests would measure it too."""
