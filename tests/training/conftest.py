from tests.trainings import distiller, splits, study, teacher, training  # noqa: F401 - fixtures
