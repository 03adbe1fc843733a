"""The tests of the example package, which run kdtune's conformance suites over its components."""

from pathlib import Path
from runpy import run_path

import pytest

EXAMPLE = Path(__file__).parents[2] / "examples" / "kdtune_cells"
SUITES = {
    name: one
    for name, one in run_path(str(EXAMPLE / "tests" / "test_components.py"), run_name=__name__).items()
    if name.startswith("Test")
}
globals().update(SUITES)


@pytest.fixture(autouse=True)
def _importable(monkeypatch):
    monkeypatch.syspath_prepend(EXAMPLE)


def test_there_is_a_suite_for_each_kind_of_component():
    assert len(SUITES) == len([file for file in (EXAMPLE / "kdtune_cells").glob("*.py") if file.stem != "__init__"])
