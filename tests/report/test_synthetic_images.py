"""Tables say that students saw no real image, what temperatures were chosen by, and what making the images cost."""

import pytest

from kdtune.report.synthetic_images import synthetic_images_notes
from kdtune.results.strategy_result import StrategyResult
from tests.report.test_tables import result
from tests.results.typed import strategy_result

MADE = {
    "method": "deep-inversion",
    "selection": "synthetic",
    "images": 2048,
    "held_out": 256,
    "confidence": 0.931,
    "target_agreement": 0.997,
    "diversity": 0.41,
    "class_counts": [1024, 1024],
}


def notes(uj=3_600_000_000, flops=2 * 10**15, **changes):
    documents = []
    for label in ("grid", "stochastic"):
        one = result(label)
        one["cost"]["shared_uj"]["synthesis"] = uj
        one["cost"]["synthesis_flops"] = flops
        documents.append({**one, "synthetic": {**MADE, **changes}})
    results = [strategy_result(one) for one in documents]
    return "\n".join(synthetic_images_notes(results, results[0].cost.carbon))


def test_images_selection_and_cost_are_named_once():
    text = notes()
    assert "Students of grid, stochastic saw 2048 images from the teacher (deep-inversion), none real." in text
    assert "confidence in them is 93.1 %, 99.7 % are of the class" in text
    assert "val. acc. is the agreement with the teacher on 256 images that were held out, not accuracy." in text
    assert "outside 'training only': 1 Wh. Making them took 2 PFLOPs, which no column contains." in text
    assert text.count("The images were made once") == 1


def test_selection_by_real_images_is_marked():
    assert "NOT DATA-FREE: temperatures were chosen by real, labelled validation images" in notes(
        selection="validation"
    )


def test_energy_that_was_not_measured_is_a_dash():
    assert "'training only': -." in notes(uj=None)


def test_results_on_real_images_have_no_note():
    one = strategy_result(result())
    assert isinstance(one, StrategyResult) and one.synthetic is None
    assert synthetic_images_notes([one], one.cost.carbon) == []


@pytest.mark.parametrize("key", ["synthetic"])
def test_a_result_on_real_images_does_not_hold_the_key(key):
    assert key not in strategy_result(result()).as_json()
