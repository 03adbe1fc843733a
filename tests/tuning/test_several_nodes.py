"""Several of Ray's nodes on this one machine, as in somebody's test or on a large host."""

import pytest
import ray
from ray.cluster_utils import Cluster

import kdtune
from kdtune.energy.ledger import read_folder
from kdtune.energy.sensors import NodeSensors, boot_id
from kdtune.energy.several_nodes import charge_all
from kdtune.errors import KdtuneError
from kdtune.results.folder import StudyFolder
from kdtune.tuning.meter_actor import NodeMeter
from kdtune.tuning.session import Session
from tests.studies import small_study


@pytest.fixture
def two_nodes(without_ray):
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    cluster.add_node(num_cpus=1)
    yield cluster.address
    ray.shutdown()
    cluster.shutdown()


@pytest.mark.study
def test_one_meter_counts_the_machine_for_all_of_its_nodes(two_nodes, tmp_path):
    study = small_study(strategies={"grid": {}}, repeats=1)
    result = kdtune.run_study(study, out=tmp_path, address=two_nodes).results[0]
    assert result["status"] == "completed"
    # What an earlier test killed may be on the machine for another moment.
    assert set(result["cost"]["flags"]) <= {"node_shared"}
    ledgers = read_folder(tmp_path / "small" / "grid" / "ledger")
    assert len(ledgers) == 1
    account = charge_all(ledgers)
    opened = [one.window for records in ledgers.values() for one in records if one.kind == "open"]
    assert {window.id for window in opened if window.bucket == "trials"} == {
        name for name in account.windows if not name.startswith("evaluation")
    }
    assert account.buckets["trials"] > 0


def test_a_meter_does_not_take_another_machines_process_for_its_own():
    meter = NodeMeter.__new__(NodeMeter)
    meter._meter = type("Meter", (), {"hardware": NodeSensors().hardware()})()
    meter._check_machine(boot_id())
    with pytest.raises(KdtuneError, match="two machines of the cluster are called"):
        meter.open(None, "another boot")


@pytest.mark.study
def test_meters_of_other_machines_end_their_ledgers_before_ray_is_left(two_nodes, tmp_path):
    """Two meters on this machine stand for those of two machines."""
    ray.shutdown()
    session = Session(StudyFolder(tmp_path / "study"), 1.0, None, two_nodes)
    session.start()
    try:
        session.settle()
        elsewhere = ray.remote(NodeMeter).options(num_cpus=0).remote("elsewhere")
        session._meters["elsewhere"] = elsewhere
        ray.get(elsewhere.begin.remote(str(tmp_path / "elsewhere"), None))
    finally:
        session.stop()
    for folder in (session.folder, tmp_path / "elsewhere"):
        [records] = read_folder(folder).values()
        assert records[-1].kind == "stop"
        assert "unended" not in charge_all({"here": records}).flags
