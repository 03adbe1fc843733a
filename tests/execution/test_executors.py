"""Only the Ray executor imports Ray; a study that runs inline loads neither Ray nor torch's compiler."""

import ast
import json
import os
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


#: Libraries that an inline study does not use. Imports of torchvision and of torch's compiler take two seconds.
UNUSED = ("ray", "torch._dynamo", "torchvision", "pandas", "sklearn")

PROGRAM = f"""
import json, sys, kdtune

study = json.loads(sys.argv[1])
assert "torch" not in sys.modules
assert kdtune.check_study(study).faults == []
import torch
print(torch.get_num_threads())
print(kdtune.run_study(study, out=sys.argv[2], inline=True).exit_code)
print(torch.get_num_threads(), [name for name in {UNUSED} if name in sys.modules])
"""


@pytest.mark.study
def test_a_check_and_a_study_that_runs_inline_load_only_what_they_use_and_keep_torchs_threads(tmp_path):
    """They import torch themselves, with the user's number of threads."""
    study = json.dumps(small_study(strategies={"none": {}}, repeats=1))
    code = [sys.executable, "-c", PROGRAM, study, str(tmp_path)]
    done = subprocess.run(code, env={**os.environ, "OMP_NUM_THREADS": "2"}, capture_output=True, text=True)
    assert done.stdout == "2\n0\n2 []\n", done.stderr


def test_a_cluster_is_refused_for_a_study_that_runs_inline(tmp_path):
    with pytest.raises(UsageError, match="--address auto: a study with --inline joins no cluster"):
        ExecutorChoice(1.0, None, "auto", inline=True)
    with pytest.raises(UsageError, match="address 'auto'|address auto"):
        kdtune.run_study(small_study(), out=tmp_path, inline=True, address="auto")
    assert not list(tmp_path.iterdir())
