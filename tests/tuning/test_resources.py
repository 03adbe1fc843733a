"""What trials get, and whose cores they are."""

import pytest
import ray

from kdtune.asked import check_cores
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
        check_cores(MANY, None, given)
    else:
        with pytest.raises(UsageError, match="kdtune may use"):
            check_cores(MANY, None, given)


def test_a_ray_that_this_process_is_connected_to_is_the_cluster(monkeypatch):
    monkeypatch.setattr(ray, "is_initialized", lambda: True)
    monkeypatch.setattr(ray.runtime_context.RuntimeContext, "gcs_address", "10.0.0.2:6379")
    assert cluster_address("10.0.0.1:6379") == "10.0.0.2:6379"
    check_cores(MANY, None, None)


def test_what_a_trial_gets_is_told_in_words():
    assert str(Resources(1.0, 0.0)) == "1 CPU core"
    assert str(Resources(4.0, 0.5)) == "4 CPU cores and 0.5 GPUs"


# --- how many trials fit ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("parts", [1, 3, 10, 30, 49, 1000])
def test_as_many_trials_fit_as_the_fraction_says(parts):
    assert Resources(1 / parts, 0.0).slots([{"CPU": 1.0}]) == parts
    assert Resources(1 / 1000, 1 / parts).slots([{"CPU": 1.0, "GPU": 1.0}]) == parts


def test_a_trial_shares_one_gpu_and_lies_on_one_node():
    assert Resources(1.0, 0.4).slots([{"CPU": 16.0, "GPU": 2.0}]) == 4  # 2 a GPU, though 2 // 0.4 is 5
    assert Resources(2.0, 0.0).slots([{"CPU": 3.0}, {"CPU": 3.0}]) == 2
    assert Resources(1.0, 1.0).slots([{"CPU": 16.0}, {"CPU": 2.0, "GPU": 4.0}]) == 2


@pytest.mark.parametrize(
    ("resources", "nodes", "told"),
    [
        (Resources(3.0, 0.0), [{"CPU": 2.0}], "--cpus-per-trial 3: the cluster has 2; give at most that"),
        (Resources(1.0, 1.0), [{"CPU": 2.0}], "--gpus-per-trial 1: the cluster has 0; give at most that"),
        (
            Resources(3.0, 0.0),
            [{"CPU": 2.0}, {"CPU": 2.0}],
            "--cpus-per-trial 3: no node of the cluster has more than 2; give at most that",
        ),
        (
            Resources(2.0, 1.0),
            [{"CPU": 8.0}, {"CPU": 1.0, "GPU": 1.0}],
            "--cpus-per-trial 2, --gpus-per-trial 1: no node of the cluster has both; give less of one of them",
        ),
    ],
)
def test_what_no_node_can_give_is_refused(resources, nodes, told):
    with pytest.raises(UsageError) as caught:
        resources.check_fit(nodes)
    assert str(caught.value) == told


def test_what_one_node_can_give_is_not_refused():
    Resources(0.1, 0.1).check_fit([{"CPU": 0.1, "GPU": 1.0}])
    Resources(1.0, 1.0).check_fit([{"CPU": 8.0}, {"CPU": 1.0, "GPU": 1.0}])
