"""Carbon factors with which a strategy was reported when it ran."""

import pytest

from kdtune.analysis.comparison import compare
from kdtune.energy.carbon import PAPER, resolve_carbon
from kdtune.errors import ResultsError
from kdtune.results.carbon_settings import carbon_of
from kdtune.results.outcome import write_result
from tests.results.finished import finished


@pytest.fixture
def folder(tmp_path):
    """A strategy that was run and reported with the paper's carbon factors."""
    folder = finished(tmp_path)
    write_result(folder, PAPER)
    folder.study.write_run({"strategies": ["grid"], "carbon": PAPER.as_record()})
    return folder


def test_without_a_result_the_carbon_factors_of_run_toml_are_used(folder):
    [before] = compare([folder.path]).results
    folder.result.unlink()
    [after] = compare([folder.path]).results
    assert after["cost"]["carbon"] == before["cost"]["carbon"] == PAPER.as_record()
    assert after["cost"]["charged_co2_g"] == before["cost"]["charged_co2_g"]


def test_an_abandoned_run_uses_the_carbon_factors_of_its_study(folder):
    folder.study.put_aside(["grid"])
    [aside] = folder.study.abandoned("grid")
    aside.result.unlink()
    assert carbon_of(aside) == PAPER


def test_without_a_result_and_run_toml_the_world_average_is_used(folder):
    folder.result.unlink()
    folder.study.run_toml.unlink()
    assert carbon_of(folder) == resolve_carbon()


@pytest.mark.parametrize("damage", ["{", "[]", '{"cost": 3}', '{"cost": {"carbon": {"pue": "x"}}}'])
def test_a_damaged_result_is_an_error_that_names_the_file(folder, damage):
    folder.result.write_text(damage)
    with pytest.raises(ResultsError, match=r"result\.json: damaged .*; delete it; it is built again"):
        carbon_of(folder)


@pytest.mark.parametrize("damage", ["carbon = 3", "", "[carbon]\npue = 1.0\nsource = 'x'", "=", "carbon.pue = 0"])
def test_a_damaged_run_toml_is_an_error_that_names_the_file(folder, damage):
    folder.result.unlink()
    folder.study.run_toml.write_text(damage)
    with pytest.raises(ResultsError, match=r"run\.toml: damaged .*; replace it with an intact copy"):
        carbon_of(folder)
