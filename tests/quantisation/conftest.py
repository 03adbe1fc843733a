from tests.trainings import splits, study  # noqa: F401 - fixtures
