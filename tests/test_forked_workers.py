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

    def identify(self):
        """Return its parent, whether it leads its process group, and a random identifier of Ray's."""
        return os.getppid(), os.getpgid(0) == os.getpid(), ray.UniqueID.from_random()


@pytest.mark.parametrize(("variables", "forked"), [({}, True), ({"OMP_NUM_THREADS": "2"}, False)])
def test_a_worker_is_forked_unless_it_has_its_own_settings_for_imports(variables, forked):
    environment = {"env_vars": {"FOR_WORKERS": "a value", **variables}}
    worker = Worker.options(runtime_env=environment).remote()
    value, folder, streams, parent = ray.get(worker.describe.remote())
    ray.kill(worker)
    assert (value, folder, streams) == ("a value", Path.cwd(), {".out", ".err"})
    assert any("forkserver" in word or "forked_suite" in word for word in parent) == forked
    assert parent[0].endswith("raylet") != forked


def test_further_workers_with_the_same_variables_share_a_server_and_no_random_identifier():
    environment = {"env_vars": {"FOR_WORKERS": "several"}}
    workers = [Worker.options(runtime_env=environment).remote() for _ in range(4)]
    parents, lead, identifiers = zip(*ray.get([worker.identify.remote() for worker in workers]), strict=True)
    for worker in workers:
        ray.kill(worker)
    assert sorted(map(parents.count, set(parents))) == [1, 3] and all(lead)
    assert len(set(identifiers)) == 4
