"""What trials get, and whose cores they are."""

from types import SimpleNamespace

import pytest
import ray
import torch
from ray.cluster_utils import Cluster

import kdtune
from kdtune.errors import UsageError
from kdtune.execution.ray import ray_executor
from kdtune.execution.ray.ray_executor import RayExecutor
from kdtune.planning import resources as kdtune_resources
from kdtune.planning.resources import (
    Resources,
    chosen_gpu_type,
    cluster_address,
    gpu_indices,
    gpu_shares,
    gpus_by_default,
)
from kdtune.planning.run_arguments import check_resources
from kdtune.results.folder import StudyFolder
from tests.planning.gpu_workers import Meeting, indices_when_all_are_there, own_pid
from tests.studies import small_study

MANY = 4096.0


@pytest.fixture(autouse=True)
def no_ray(monkeypatch):
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
def test_cores_of_this_machine_are_checked_unless_a_cluster_is_joined(given, environment, joined, monkeypatch):
    if environment is not None:
        monkeypatch.setenv("RAY_ADDRESS", environment)
    assert cluster_address(given) == joined
    if joined:
        check_resources(MANY, None, given)
    else:
        with pytest.raises(UsageError, match="kdtune may use"):
            check_resources(MANY, None, given)


def test_a_connected_ray_is_the_cluster(monkeypatch):
    monkeypatch.setattr(ray, "is_initialized", lambda: True)
    monkeypatch.setattr(ray.runtime_context.RuntimeContext, "gcs_address", "10.0.0.2:6379")
    assert cluster_address("10.0.0.1:6379") == "10.0.0.2:6379"
    check_resources(MANY, None, None)


def test_resources_are_described_in_words():
    assert str(Resources(1.0, 0.0)) == "1 CPU core"
    assert str(Resources(4.0, 0.5)) == "4 CPU cores and 0.5 GPUs"


# --- how many trials fit ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("parts", [1, 3, 10, 30, 49, 1000])
def test_as_many_trials_fit_as_the_fraction_says(parts):
    assert Resources(1 / parts, 0.0).slots([{"CPU": 1.0}]) == parts
    assert Resources(1 / 1000, 1 / parts).slots([{"CPU": 1.0, "GPU": 1.0}]) == parts


def test_a_trial_uses_one_node_and_shares_one_gpu():
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
            "--cpus-per-trial 2, --gpus-per-trial 1: no node of the cluster has both; reduce one of them",
        ),
    ],
)
def test_resources_that_no_node_has_are_refused(resources, nodes, told):
    with pytest.raises(UsageError) as caught:
        resources.check_fit(nodes)
    assert str(caught.value) == told


def test_resources_that_one_node_has_are_accepted():
    Resources(0.1, 0.1).check_fit([{"CPU": 0.1, "GPU": 1.0}])
    Resources(1.0, 1.0).check_fit([{"CPU": 8.0}, {"CPU": 1.0, "GPU": 1.0}])


# --- whether trials get a GPU ----------------------------------------------------------------------------------

NO_GPU, ONE_GPU = [{"CPU": 8.0}], [{"CPU": 8.0}, {"CPU": 8.0, "GPU": 1.0}]


@pytest.fixture
def gpu_files(tmp_path, monkeypatch):
    """Device files as the driver makes them for two GPUs."""
    for name in ("nvidia0", "nvidia1", "nvidiactl"):
        (tmp_path / name).touch()
    monkeypatch.setattr(kdtune_resources, "_DEVICES", tmp_path)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)


@pytest.fixture
def no_gpu_files(tmp_path, monkeypatch):
    (tmp_path / "nvidiactl").touch()
    monkeypatch.setattr(kdtune_resources, "_DEVICES", tmp_path)


def never(text):
    raise AssertionError(text)


def test_a_trial_uses_a_gpu_if_a_node_has_one(gpu_files):
    assert gpus_by_default(ONE_GPU, ["GPU-a"], is_own=True, tell=never) == 1.0
    assert gpus_by_default([{"CPU": 8.0, "GPU": 0.5}, {"GPU": 0.5}], [], is_own=False, tell=list) == 0.0


def test_without_a_gpu_trials_run_on_the_cpu(no_gpu_files):
    assert gpus_by_default(NO_GPU, [], is_own=True, tell=never) == 0.0


@pytest.mark.parametrize("hidden", ["", "-1", "NoDevFiles"])
def test_gpus_that_the_user_hides_are_not_used(gpu_files, monkeypatch, hidden):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", hidden)
    assert gpus_by_default(NO_GPU, [], is_own=True, tell=never) == 0.0


def test_a_gpu_that_ray_does_not_find_on_this_machine_is_an_error(gpu_files):
    with pytest.raises(UsageError, match="this machine has a GPU, but Ray finds none; .* give --gpus-per-trial 0"):
        gpus_by_default(NO_GPU, [], is_own=True, tell=never)


def test_a_gpu_that_only_nvml_finds_is_an_error(no_gpu_files):
    with pytest.raises(UsageError, match="Ray finds none"):
        gpus_by_default(NO_GPU, ["GPU-a"], is_own=True, tell=never)


def test_a_cluster_without_a_gpu_gives_a_warning_if_this_machine_has_one(gpu_files):
    told = []
    assert gpus_by_default(NO_GPU, [], is_own=False, tell=told.append) == 0.0
    assert told == ["this machine has a GPU, but no node of the Ray cluster has one: trials run on CPUs"]


def test_a_plan_refuses_a_gpu_that_is_not_found_like_a_run(gpu_files, tmp_path):
    with pytest.raises(UsageError, match="give gpus_per_trial 0 to train on the CPU"):
        kdtune.plan_study(small_study(), "none", out=tmp_path)


# --- which GPU a worker has ------------------------------------------------------------------------------------


def test_a_process_that_is_not_a_worker_uses_and_charges_only_the_first_gpu(monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 8)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda index: SimpleNamespace(uuid=f"uuid-{index}"))
    assert gpu_shares(0.25) == {"GPU-uuid-0": 0.25}
    assert gpu_shares(0.0) == {}


@pytest.fixture(scope="module")
def four_gpus():
    """A node with four GPUs that are not there."""
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("CUDA_VISIBLE_DEVICES")  # by which the suite hides a machine's own GPUs
        head = {"num_cpus": 4, "num_gpus": 4, "include_dashboard": False}
        head |= {"include_log_monitor": False, "no_monitor": True}
        cluster = Cluster(initialize_head=True, head_node_args=head)
    ray.init(address=cluster.address, log_to_driver=False, logging_level="ERROR")
    yield
    ray.shutdown()
    cluster.shutdown()


@pytest.mark.study
def test_a_worker_knows_its_gpu_whether_or_not_ray_hides_the_others(four_gpus):
    together = ray.remote(num_cpus=0)(Meeting).remote(2)

    def indices(**environment):
        """Of two workers with a GPU each, at the same time."""
        remote = ray.remote(num_gpus=1, max_retries=0, runtime_env={"env_vars": environment})(
            indices_when_all_are_there
        )
        return sorted(ray.get([remote.remote(together) for _ in range(2)]))

    shown = {"RAY_EXPERIMENTAL_NOSET_CUDA_VISIBLE_DEVICES": "1"}
    assert indices(NONE="1") == [[0], [0]]
    assert indices(**shown) == [[0], [1]]
    assert indices(**shown, CUDA_VISIBLE_DEVICES="5,GPU-abc,7,2") == [[0], [1]]
    assert gpu_indices(1.0) == [0]  # the driver is no worker
    assert gpu_indices(0.0) == []


@pytest.mark.study
def test_a_worker_is_prepared_for_evaluations_on_the_cpu_alone_since_ray_ends_one_with_a_gpu_after_each_job(
    four_gpus, tmp_path, monkeypatch
):
    job = ray.remote(num_gpus=1, max_retries=0)(own_pid)
    assert len({ray.get(job.remote()) for _ in range(2)}) == 2
    monkeypatch.setattr(ray_executor, "prepare_evaluation", lambda session_id: (tmp_path / session_id).touch())
    # No meter was started here, for which a worker would wait.
    monkeypatch.setattr(ray_executor, "in_worker", lambda session_id, shared, function, *given: function(*given))
    prepared = []
    for gpus in (1.0, 0.0):
        session = RayExecutor(StudyFolder(tmp_path / "study"), 1.0, gpus)
        session.prepare_worker()
        session.settle_for_evaluation()
        prepared.append((tmp_path / session.id).exists())
    assert prepared == [False, True]


# --- several kinds of GPU -------------------------------------------------------------------------------------------

A100 = {"CPU": 4.0, "GPU": 2.0, "accelerator_type:A100": 1.0}
H100 = {"CPU": 4.0, "GPU": 4.0, "accelerator_type:H100": 1.0}
UNKNOWN, WITHOUT = {"CPU": 4.0, "GPU": 1.0}, {"CPU": 64.0}


@pytest.mark.parametrize(
    ("asked", "nodes", "chosen"),
    [
        (None, [A100, A100, WITHOUT], "A100"),  # GPUs of another kind that join later are not used
        ("", [UNKNOWN, UNKNOWN], None),
        (None, [WITHOUT], None),
        ("H100", [A100, H100], "H100"),
        ("any", [A100, H100, UNKNOWN], None),
    ],
)
def test_a_study_uses_gpus_of_one_kind_unless_the_user_mixes_them(asked, nodes, chosen, monkeypatch):
    monkeypatch.delenv("KDTUNE_GPU_TYPE", raising=False)
    if asked:
        monkeypatch.setenv("KDTUNE_GPU_TYPE", asked)
    assert chosen_gpu_type(nodes) == chosen


@pytest.mark.parametrize(
    ("asked", "nodes", "told"),
    [
        (None, [A100, H100], r"several kinds \(A100, H100\).*KDTUNE_GPU_TYPE"),
        (None, [A100, UNKNOWN], r"several kinds \(A100, unknown\)"),
        ("V100", [A100], "KDTUNE_GPU_TYPE=V100: the cluster has no such GPU; it has A100"),
        ("V100", [WITHOUT], "it has no GPU"),
    ],
)
def test_gpus_of_several_kinds_or_of_a_missing_kind_are_refused(asked, nodes, told, monkeypatch):
    monkeypatch.delenv("KDTUNE_GPU_TYPE", raising=False)
    if asked:
        monkeypatch.setenv("KDTUNE_GPU_TYPE", asked)
    with pytest.raises(UsageError, match=told):
        chosen_gpu_type(nodes)


def test_a_trial_that_is_restricted_to_a_kind_requests_it_and_counts_only_its_nodes():
    assert Resources(1.0, 0.5, "A100").slots([A100, H100, UNKNOWN]) == 4
    assert Resources(1.0, 1.0).slots([A100, H100, UNKNOWN]) == 7
    assert Resources(1.0, 1.0, "A100").for_ray == {"CPU": 1.0, "GPU": 1.0, "accelerator_type:A100": 0.001}
    assert Resources(1.0, 0.0, "A100").for_ray == {"CPU": 1.0, "GPU": 0.0}
