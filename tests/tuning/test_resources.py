"""What trials get, and whose cores they are."""

import pytest
import ray

from kdtune.asked import check_resources
from kdtune.errors import UsageError
from kdtune.tuning.resources import Resources, cluster_address

MANY = 4096.0


@pytest.fixture(autouse=True)
def no_ray(without_ray, monkeypatch):
    monkeypatch.delenv("RAY_ADDRESS", raising=False)


@pytest.mark.parametrize(
    ("given", "environment", "joined"),
    [
        (None, None, None),
        ("auto", None, "auto"),
        (None, "10.0.0.1:6379", "10.0.0.1:6379"),
        ("auto", "10.0.0.1:6379", "auto"),
        ("local", "10.0.0.1:6379", None),
        (None, "local", None),
        (None, "", None),
    ],
)
def test_a_cluster_has_cores_of_its_own_and_this_machines_are_checked_without_one(
    given, environment, joined, monkeypatch
):
    if environment is not None:
        monkeypatch.setenv("RAY_ADDRESS", environment)
    assert cluster_address(given) == joined
    if joined:
        check_resources(MANY, None, given)
    else:
        with pytest.raises(UsageError, match="kdtune may use"):
            check_resources(MANY, None, given)


def test_a_ray_that_this_process_is_connected_to_is_the_cluster(monkeypatch):
    monkeypatch.setattr(ray, "is_initialized", lambda: True)
    monkeypatch.setattr(ray.runtime_context.RuntimeContext, "gcs_address", "10.0.0.2:6379")
    assert cluster_address("10.0.0.1:6379") == "10.0.0.2:6379"
    check_resources(MANY, None, None)


def test_what_a_trial_gets_is_told_in_words():
    assert str(Resources(1.0, 0.0)) == "1 CPU core"
    assert str(Resources(4.0, 0.5)) == "4 CPU cores and 0.5 GPUs"
