"""Workers of Ray that are forked, and those that are not."""

import os
from pathlib import Path

import pytest
import ray

pytestmark = [pytest.mark.study, pytest.mark.usefixtures("running_ray")]


@ray.remote(num_cpus=0)
class Worker:
    """Describes its process."""

    def describe(self):
        streams = {Path(f"/proc/self/fd/{number}").resolve() for number in (1, 2)}
        parent = Path(f"/proc/{os.getppid()}/cmdline").read_text().split("\0")
        return os.environ["FOR_WORKERS"], Path.cwd(), {path.suffix for path in streams}, parent


@pytest.mark.parametrize(("variables", "forked"), [({}, True), ({"OMP_NUM_THREADS": "2"}, False)])
def test_a_worker_is_forked_unless_it_has_its_own_settings_for_imports(variables, forked):
    environment = {"env_vars": {"FOR_WORKERS": "a value", **variables}}
    worker = Worker.options(runtime_env=environment).remote()
    value, folder, streams, parent = ray.get(worker.describe.remote())
    ray.kill(worker)
    assert (value, folder, streams) == ("a value", Path.cwd(), {".out", ".err"})
    assert any("forkserver" in word or "forked_suite" in word for word in parent) == forked
    assert parent[0].endswith("raylet") != forked
