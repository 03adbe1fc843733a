import pytest

from tests.energy.machine import bare_machine, clock, gpus, known_cpu, zone  # noqa: F401 - fixtures


@pytest.fixture(scope="module", autouse=True)
def alone(without_ray):
    """What an earlier test started beside this process would be measured as well."""
