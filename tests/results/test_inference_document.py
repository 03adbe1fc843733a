import json
from dataclasses import replace

import pytest

from kdtune.energy.carbon import Carbon
from kdtune.energy.window_account import account_of
from kdtune.errors import ResultsError
from kdtune.results import cost_document
from kdtune.results.folder import StrategyFolder
from kdtune.results.inference_document import (
    ChargedOn,
    InferenceDocument,
    Network,
    Payback,
    Paybacks,
    read_inference,
)
from kdtune.results.metered_turns import MeteredTurn, network_in_use, saved_uj_per_image
from kdtune.results.strategy_result import Computed
from tests.energy.simulated import J, Node, trial, two_cores

CARBON = Carbon(pue=1.5, intensity_g_per_kwh=400.0, source="a test")


BIG = Network("big", parameters=10, macs=100, test_accuracy=0.5, recorded_test_accuracy=0.5)


@pytest.fixture
def turns():
    """Two turns of 100 images a pass: two passes in 4 s on one core, one pass in 1 s on one core."""
    node = Node(two_cores()).start()
    for name, seconds, busy_s in (("a", 4, 3), ("b", 1, 1)):
        node.open(trial(name, bucket="evaluation")).work(seconds, {name: busy_s}, other=0.5).close(name).work(2)
    records = node.stop().records
    return [MeteredTurn(200, 4.0, account_of(records, "a")), MeteredTurn(100, 1.0, account_of(records, "b"))]


def test_time_covers_all_turns_and_the_deviation_is_over_turns(turns):
    record = network_in_use(BIG, turns, 100, dedicated=True, carbon=CARBON)
    assert (record.passes, record.images, record.wall_s) == (3, 300, 5.0)
    assert record.images_per_s == 60.0
    assert record.ms_per_pass == pytest.approx(5000 / 3)
    assert record.images_per_s_std == pytest.approx(((100 - 75) ** 2 + (50 - 75) ** 2) ** 0.5)  # 50 and 100 a second


def test_the_charge_includes_idle_energy_like_a_study(turns):
    record = network_in_use(BIG, turns, 100, dedicated=True, carbon=CARBON)
    # 4 core seconds at 4 J, 5 s of 20 W memory; the core seconds of others are theirs.
    assert record.charged_uj == (16 + 100) * J
    assert record.static_uj == 100 * J
    assert record.energy_uj["other"] == 4 * J and record.energy_uj["node_total"] == 120 * J
    assert record.uj_per_image == pytest.approx(116 * J / 300)
    assert record.j_per_pass == pytest.approx(116 / 3)
    # (12 + 80) J for 200 images and (4 + 20) J for 100.
    assert record.uj_per_image_std == pytest.approx(((0.46 - 0.35) ** 2 + (0.24 - 0.35) ** 2) ** 0.5 * J)
    assert record.uncertainty_uj == round(0.4 * 116 * J)
    assert record.quality == "modelled" and record.flags == {}


def test_savings_are_computed_for_pairs_of_turns(turns):
    student = [replace(turns[0], images=400)]
    # 92 J for 200 images less 92 J for 400; of the second turn there is no other.
    assert saved_uj_per_image(turns, student, dedicated=True) == pytest.approx([0.23 * J])


def test_shared_attribution_leaves_idle_energy_out(turns):
    record = network_in_use(BIG, turns, 100, dedicated=False, carbon=CARBON)
    # One core of two was held, and so half of the memory.
    assert record.charged_uj == (16 + 50) * J
    assert record.static_uj == 50 * J


def test_carbon_is_applied_to_a_million_predictions(turns):
    record = network_in_use(BIG, turns, 100, dedicated=True, carbon=CARBON)
    kwh_a_million = 116 / 300 * 1e6 / 3.6e6
    assert record.co2_g_per_million == pytest.approx(kwh_a_million * 1.5 * 400)


def test_a_single_turn_has_no_deviation(turns):
    record = network_in_use(BIG, turns[:1], 100, dedicated=True, carbon=CARBON)
    assert record.images_per_s_std is None and record.uj_per_image_std is None


def test_unmeasured_quality_is_none(tmp_path):
    assert read_inference(StrategyFolder(tmp_path)) is None


@pytest.mark.parametrize("content", ["{}", "{", '{"schema_version": 2}', "[]"])
def test_a_damaged_inference_json_is_an_error_with_a_remedy(tmp_path, content):
    (tmp_path / "inference.json").write_text(content)
    with pytest.raises(ResultsError, match=r"inference.json: damaged .*run 'kdtune inference' again"):
        read_inference(StrategyFolder(tmp_path))


def test_measurements_are_read_back_and_older_formats_are_ignored(tmp_path, turns):
    network = network_in_use(BIG, turns, 100, dedicated=True, carbon=CARBON)
    document = InferenceDocument(
        schema_version=2,
        study="small",
        strategy="grid",
        timed_student="grid",
        test_images=100,
        batch_size=128,
        seconds=1.0,
        device="cpu",
        device_name="a CPU",
        threads=1,
        computed=Computed("float32", "contiguous", "off"),
        attribution="dedicated",
        teacher=network,
        student=network,
        saved_uj_per_image=(1.0, 2.0),
        payback=Paybacks(Payback(1000, unsettled="x"), Payback(None)),
        charged=ChargedOn("modelled", ()),
        hardware=(cost_document.Node.of(two_cores(gpus=("GPU-a",))),),
        carbon=CARBON,
    )
    for content, expected in ((document.as_json(), document), ({"schema_version": 1, "batch_size": 128}, None)):
        (tmp_path / "inference.json").write_text(json.dumps(content))
        assert read_inference(StrategyFolder(tmp_path)) == expected
    (tmp_path / "inference.json").write_text(json.dumps({**document.as_json(), "batch_size": "many"}))
    with pytest.raises(ResultsError, match="batch_size"):
        read_inference(StrategyFolder(tmp_path))
