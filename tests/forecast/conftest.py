from tests.energy.machine import bare_machine, clock, gpus, known_cpu, zone  # noqa: F401 - fixtures
from tests.trainings import distiller, splits, study, teacher, training  # noqa: F401 - fixtures
