"""The test module in 'Your own networks and data' passes on the components of that page."""

import pytest

from tests.docs.markdown import ROOT, blocks
from tests.docs.test_docs import files_of

PAGE = ROOT / "docs" / "your-own-networks-and-data.md"
[CODE] = [block for block in blocks(PAGE, "python") if block.startswith("# test_own.py\n")]
NAMES = {"__name__": __name__}
exec(compile(CODE, "test_own.py", "exec"), NAMES)
SUITES = {name: one for name, one in NAMES.items() if name.startswith("Test")}
globals().update(SUITES)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with the components that a reader writes."""
    folder = tmp_path_factory.mktemp("reader")
    for name, code in files_of(PAGE).items():
        (folder / name).write_text(code)
    return folder


@pytest.fixture(autouse=True)
def _working_folder(folder, monkeypatch):
    monkeypatch.chdir(folder)


def test_every_python_file_of_the_page_is_tested_but_that_of_a_task(folder):
    tested = {
        suite.component if isinstance(suite.component, str) else suite.component["ref"] for suite in SUITES.values()
    }
    files = {f"./{file.name}" for file in folder.glob("*.py")}
    assert {reference.partition(":")[0] for reference in tested} == files - {"./tasks.py"}
