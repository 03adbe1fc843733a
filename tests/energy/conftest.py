from tests.energy.machine import bare_machine, clock, gpus, known_cpu, zone  # noqa: F401 - fixtures
