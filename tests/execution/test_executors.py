"""Only the Ray executor imports Ray; a study that runs inline loads neither Ray nor torch's compiler."""

import ast
import json
import subprocess
import sys
from pathlib import Path

import pytest

import kdtune
from kdtune.errors import UsageError
from kdtune.execution import executor_choice
from kdtune.execution.executor_choice import ExecutorChoice
from tests.studies import small_study

EXECUTION = Path(executor_choice.__file__).parent


def imports_of(file):
    """Return all modules that a file imports, also within functions."""
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


@pytest.mark.parametrize("file", [*EXECUTION.glob("*.py"), *EXECUTION.glob("inline/*.py")], ids=lambda file: file.stem)
def test_ray_is_imported_only_in_its_own_folder(file):
    chosen_here = {"kdtune.execution.ray.opening", "kdtune.execution.ray.opening.opened_ray"}
    known = {
        name for name in imports_of(file) if name.split(".")[0] == "ray" or name.startswith("kdtune.execution.ray")
    }
    assert known == (chosen_here if file.stem == "executor_choice" else set())


@pytest.mark.study
def test_a_study_that_runs_inline_loads_no_library_that_it_does_not_use(tmp_path):
    """Imports of torchvision and of torch's compiler would take two seconds."""
    study = json.dumps(small_study(strategies={"none": {}}, repeats=1))
    unused = ("ray", "torch._dynamo", "torchvision", "pandas", "sklearn")
    script = (
        f"import json, sys, kdtune\nstudy = json.loads({study!r})\n"
        f"result = kdtune.run_study(study, out={str(tmp_path)!r}, inline=True)\n"
        f"print(result.exit_code, [name for name in {unused} if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.stdout == "0 []\n", done.stderr


def test_a_cluster_is_refused_for_a_study_that_runs_inline(tmp_path):
    with pytest.raises(UsageError, match="--address auto: a study with --inline joins no cluster"):
        ExecutorChoice(1.0, None, "auto", inline=True)
    with pytest.raises(UsageError, match="address 'auto'|address auto"):
        kdtune.run_study(small_study(), out=tmp_path, inline=True, address="auto")
    assert not list(tmp_path.iterdir())
