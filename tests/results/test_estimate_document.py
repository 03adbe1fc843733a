import json

import pytest

from kdtune.errors import ResultsError
from kdtune.results.estimate_document import StrategyEstimate, read_estimate, save_estimate
from kdtune.results.outcome import build_result
from kdtune.storage.records import as_record
from tests.results.finished import CARBON, finished

ESTIMATE = StrategyEstimate(
    strategy="grid",
    trials=3,
    gflops_millions=1.0,
    training_flops=5,
    wall_s=12.5,
    charged_uj=7_200_000_000_000,
    complete=True,
    basis=("Trainings as before.", "Ray too."),
)


def test_an_estimate_is_saved_without_pue_and_reported_with_it(tmp_path):
    folder = finished(tmp_path)
    save_estimate(folder, ESTIMATE)
    assert json.loads(folder.estimate.read_text())["charged_uj"] == 7_200_000_000_000
    expected = {"charged_kwh": 2 * 1.5, "wall_s": 12.5, "basis": "Trainings as before. Ray too."}
    assert as_record(read_estimate(folder, CARBON)) == expected
    assert build_result(folder, CARBON).as_json()["estimate"] == expected


def test_without_an_estimate_or_with_unknown_energy_the_value_is_null(tmp_path):
    folder = finished(tmp_path)
    assert build_result(folder, CARBON).as_json()["estimate"] is None
    save_estimate(folder, StrategyEstimate(**{**ESTIMATE.as_record(), "charged_uj": None}))
    assert read_estimate(folder, CARBON).charged_kwh is None


def test_a_damaged_estimate_is_an_error_that_names_the_file(tmp_path):
    folder = finished(tmp_path)
    folder.estimate.write_text("no")
    with pytest.raises(ResultsError, match=r"estimate\.json"):
        read_estimate(folder, CARBON)
