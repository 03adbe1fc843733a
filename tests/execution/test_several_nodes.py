"""Several nodes of Ray on one machine, as in a user's tests or on a large host."""

import itertools
import os
import subprocess
import threading

import pynvml
import pytest
import ray
from ray import tune
from ray.cluster_utils import Cluster

import kdtune
from kdtune.energy.ledger import read_folder
from kdtune.energy.running_account import account_of_ledger
from kdtune.energy.sensors.node import NodeSensors, boot_id
from kdtune.energy.several_nodes import account_of_nodes
from kdtune.errors import KdtuneError, MachineError
from kdtune.execution.node_meter import NodeMeter
from kdtune.execution.ray.meter_actor import NodeMeterActor
from kdtune.execution.ray.ray_executor import RayExecutor
from kdtune.execution.ray.ray_start import only_needed_daemons
from kdtune.results.folder import StudyFolder
from kdtune.results.trial_log import TrialLog
from kdtune.results.watcher import Watcher
from tests.execution.late_node import LateNode
from tests.execution.make_believe_gpus import NVML
from tests.studies import small_study
from tests.waiting import wait_for

#: Nobody reads the nodes' logs, and nothing is to be scaled.
BARE = {"include_log_monitor": False, "include_dashboard": False, "no_monitor": True}


@pytest.fixture(scope="module")
def cluster(without_ray):
    """A cluster of one node with one core and two make-believe GPUs, which a test may add nodes to."""
    # A dead node is noticed in a second instead of fifteen.
    noticed = {"health_check_period_ms": 300, "health_check_failure_threshold": 3}
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("CUDA_VISIBLE_DEVICES")  # by which the suite hides a machine's own GPUs
        head = {"num_cpus": 1, "num_gpus": 2, "_system_config": noticed, **BARE}
        with only_needed_daemons():
            cluster = Cluster(initialize_head=True, head_node_args=head)
    yield cluster
    ray.shutdown()
    cluster.shutdown()


@pytest.fixture
def two_nodes(cluster):
    node = cluster.add_node(num_cpus=1, **BARE)
    yield cluster.address
    ray.shutdown()
    cluster.remove_node(node)


@pytest.mark.study
def test_one_meter_counts_the_machine_for_all_of_its_nodes(two_nodes, tmp_path):
    study = small_study(strategies={"grid": {}}, repeats=1)
    result = kdtune.run_study(study, out=tmp_path, address=two_nodes, gpus_per_trial=0).results[0]
    assert result["status"] == "completed"
    # Processes that an earlier test killed may not have ended yet.
    assert set(result["cost"]["flags"]) <= {"node_shared"}
    ledgers = read_folder(tmp_path / "small" / "grid" / "ledger")
    assert len(ledgers) == 1
    account = account_of_nodes(ledgers)
    opened = [one.window for records in ledgers.values() for one in records if one.kind == "open"]
    assert {window.id for window in opened if window.bucket == "trials"} == {
        name for name in account.windows if not name.startswith("evaluation")
    }
    assert account.buckets["trials"] > 0


def test_a_meter_refuses_a_process_of_another_machine():
    meter = NodeMeter.__new__(NodeMeter)
    meter._meter = type("Meter", (), {"hardware": NodeSensors().hardware()})()
    meter._check_machine(boot_id())
    with pytest.raises(KdtuneError, match="two machines of the cluster have the name"):
        meter.open(None, "another boot")


# --- nodes that join, and nodes that die ---------------------------------------------------------------------------


@pytest.fixture
def late_nodes(cluster, request):
    if subprocess.run(["unshare", "--uts", "--mount", "true"], capture_output=True).returncode:
        pytest.skip("host names and mounts of one's own need more rights than there are")
    name = f"late-{abs(hash(request.node.name)) % 10000}"
    nodes = [LateNode(cluster.address, f"{name}-{number}") for number in range(2)]
    yield nodes
    for node in nodes:
        node.die()


@pytest.fixture
def late(late_nodes):
    return late_nodes[0]


class JoinsAndDies(tune.Callback):
    """A cluster that grows when the first trial reports, and shrinks when the one on the new node has been charged."""

    def __init__(self, node, ledger):
        self._node, self._ledger = node, ledger
        self._joined = False

    def on_trial_result(self, iteration, trials, trial, result, **_):
        if not self._joined:
            self._joined = True
            self._node.join()
        if trial.config["late"] and self._is_charged():
            self._node.die()

    def _is_charged(self):
        records = read_folder(self._ledger).get(self._node.name, [])
        return sum(account_of_ledger(records).windows.values()) > 0

    def __getstate__(self):
        return {}


def burn(config):
    for step in itertools.count(1):
        sum(range(3_000_000))
        tune.report({"done": step > 3 and not config["late"]})


def resources_of(config):
    return tune.PlacementGroupFactory([{"CPU": 1, "late": 1} if config["late"] else {"CPU": 1}])


@pytest.mark.study
def test_an_experiment_survives_its_nodes_and_flags_the_energy_of_a_dead_node(cluster, late, tmp_path):
    """The node does not share the experiment's folder, so its ledger travels through Ray."""
    late.hides = tmp_path
    ray.init(address=cluster.address, log_to_driver=False, logging_level="ERROR")
    ledger = kdtune.EnergyLedger()
    joins_and_dies = JoinsAndDies(late, tmp_path / "study" / "energy_ledger")
    run = tune.RunConfig(name="study", storage_path=str(tmp_path), callbacks=[ledger, joins_and_dies], verbose=0)
    trainable = tune.with_resources(burn, resources_of)
    try:
        results = tune.Tuner(trainable, run_config=run, param_space={"late": tune.grid_search([False, True])}).fit()
    finally:
        ray.shutdown()
    assert [result.error is None for result in results] == [True, False]
    nodes = read_folder(tmp_path / "study" / "energy_ledger")
    assert nodes.keys() == {os.uname().nodename, late.name}
    account = ledger.account()
    assert len(account.windows) == 2 and min(account.windows.values()) > 0
    assert account.flags["unended"] == 1
    assert sum(account.buckets.values()) == account.node_uj


def is_opened(ledger, node):
    """Return whether a ledger folder knows of a trial on a node."""
    records = read_folder(ledger).get(node.name, [])
    return any(record.kind == "open" and record.window.bucket == "trials" for record in records)


class ChangesNodes(Watcher):
    """Replaces a node of a cluster during a study, which it then stops.

    The first node joins when the first trial starts, and dies once the ledger has a trial there. Then the second one
    joins, and the study is stopped once the ledger has the trial there.
    """

    def __init__(self, nodes, ledger):
        self.cancel, self.told = threading.Event(), []
        self._nodes, self._ledger, self._first = nodes, ledger, None

    def trial_started(self, trial):
        if self._first is None:
            self._first = trial.id
            self._nodes[0].join()

    def epoch_done(self, trial, epochs, metrics):
        if trial.id == self._first:
            return
        # The lines of a node are copied once a second, so those of its last second are lost.
        first, second = (is_opened(self._ledger, node) for node in self._nodes)
        if second:
            self.cancel.set()
        elif first:
            self._nodes[0].die()

    def message(self, text):
        self.told.append(text)
        if "continues from its last checkpoint" in text:
            self._nodes[1].join()


def test_a_node_without_the_folders_of_a_study_is_refused_before_any_work(cluster, late, tmp_path):
    late.hides = tmp_path
    late.join()
    session = RayExecutor(StudyFolder(tmp_path / "study"), 1.0, 0.0, cluster.address)
    try:
        session.start()
        wait_for(lambda: late.name in {node["NodeManagerHostname"] for node in ray.nodes() if node["Alive"]})
        session.keep_up()
        with pytest.raises(MachineError, match=f"{late.name}: does not see {tmp_path / 'study'} of the driver"):
            session.settle()
    finally:
        session.stop()


@pytest.mark.study
def test_a_study_uses_gpus_of_nodes_that_join_and_fails_no_trial_when_one_dies(
    cluster, late_nodes, tmp_path, monkeypatch
):
    for name, function in NVML.items():
        monkeypatch.setattr(pynvml, name, function)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
    in_workers = {"worker_process_setup_hook": "tests.execution.make_believe_gpus.put_into_worker"}
    ray.init(address=cluster.address, runtime_env=in_workers, log_to_driver=False, logging_level="ERROR")
    training = {"epochs": 100_000, "batch_size": 32, "learning_rate": 0.05}
    study = small_study(strategies={"none": {}}, repeats=2, training=training)
    ledger = tmp_path / "small" / "none" / "ledger"
    watcher = ChangesNodes(late_nodes, ledger)
    try:
        result = kdtune.run_study(study, out=tmp_path, gpus_per_trial=1, watcher=watcher, cancel=watcher.cancel)
    finally:
        ray.shutdown()
    assert (result.exit_code, result.errors) == (130, ())
    assert any("continues from its last checkpoint" in text for text in watcher.told)
    trials = TrialLog.read(tmp_path / "small" / "none" / "trials.jsonl").trials.values()
    assert [trial.status for trial in trials] == ["interrupted"] * 2
    nodes = read_folder(ledger)
    opened = {
        name: [one.window.gpus for one in records if one.kind == "open" and one.window.bucket == "trials"]
        for name, records in nodes.items()
    }
    assert opened.keys() == {os.uname().nodename, *(node.name for node in late_nodes)}
    assert all(opened.values())
    for name, windows in opened.items():
        assert all(gpus in ({f"GPU-{name}-0": 1.0}, {f"GPU-{name}-1": 1.0}) for gpus in windows)
    account = account_of_nodes(nodes)
    assert account.flags["unended"] == 1 and "gpu_unmetered" not in account.flags
    assert account.sources["trials"]["gpu_counter"] > 0
    assert account.sources["other"]["gpu_counter"] > 0  # the second GPU of each node
    assert sum(account.buckets.values()) == account.node_uj
    assert result.results[0]["cost"]["flags"]["unended"] == 1


@pytest.mark.study
def test_meters_of_other_machines_end_their_ledgers_before_ray_is_left(cluster, tmp_path):
    """Two meters on this machine represent those of two machines."""
    session = RayExecutor(StudyFolder(tmp_path / "study"), 1.0, 0.0, cluster.address)
    session.start()
    try:
        session.settle()
        elsewhere = ray.remote(NodeMeterActor).options(num_cpus=0).remote("elsewhere")
        session._meters._actors["elsewhere"] = elsewhere
        ray.get(elsewhere.begin.remote(str(tmp_path / "elsewhere"), None))
    finally:
        session.stop()
    for folder in (session.folder, tmp_path / "elsewhere"):
        [records] = read_folder(folder).values()
        assert records[-1].kind == "stop"
        assert "unended" not in account_of_nodes({"here": records}).flags
