"""How a strategy's energy was reported when it ran."""

import pytest

from kdtune.analysis.comparison import compare
from kdtune.energy.carbon import PAPER, resolve_carbon
from kdtune.errors import ResultsError
from kdtune.results.carbon_settings import carbon_of
from kdtune.results.outcome import write_result
from tests.results.finished import finished


@pytest.fixture
def folder(tmp_path):
    """A strategy that was run, and reported, with the paper's figures."""
    folder = finished(tmp_path)
    write_result(folder, PAPER)
    folder.study.write_run({"strategies": ["grid"], "carbon": PAPER.as_record()})
    return folder


def test_without_its_outcome_a_strategy_is_reported_as_its_command_asked(folder):
    [before] = compare([folder.path]).results
    folder.result.unlink()
    [after] = compare([folder.path]).results
    assert after["cost"]["carbon"] == before["cost"]["carbon"] == PAPER.as_record()
    assert after["cost"]["charged_co2_g"] == before["cost"]["charged_co2_g"]


def test_a_run_that_was_put_aside_is_reported_as_its_study(folder):
    folder.study.put_aside(["grid"])
    [aside] = folder.study.abandoned("grid")
    aside.result.unlink()
    assert carbon_of(aside) == PAPER


def test_of_a_folder_that_stands_alone_without_its_outcome_only_the_worlds_average_is_known(folder):
    folder.result.unlink()
    folder.study.run_toml.unlink()
    assert carbon_of(folder) == resolve_carbon()


@pytest.mark.parametrize("damage", ["{", "[]", '{"cost": 3}', '{"cost": {"carbon": {"pue": "x"}}}'])
def test_a_damaged_outcome_is_an_error_that_names_it(folder, damage):
    folder.result.write_text(damage)
    with pytest.raises(ResultsError, match=r"result\.json: damaged .*; delete it; it is built again"):
        carbon_of(folder)


@pytest.mark.parametrize("damage", ["carbon = 3", "", "[carbon]\npue = 1.0\nsource = 'x'", "=", "carbon.pue = 0"])
def test_a_damaged_note_of_what_was_asked_is_an_error_that_names_it(folder, damage):
    folder.result.unlink()
    folder.study.run_toml.write_text(damage)
    with pytest.raises(ResultsError, match=r"run\.toml: damaged .*; replace it with an intact copy"):
        carbon_of(folder)
