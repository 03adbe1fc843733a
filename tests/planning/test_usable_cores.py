"""How many cores may be used: by affinity, and by the quotas of control groups that a folder shows as Linux does."""

import os

import pytest

from kdtune.planning.usable_cores import usable_cores


@pytest.fixture
def eight_cores(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(8)))


@pytest.fixture
def cores_in(tmp_path, eight_cores):
    """The cores of a process, given its list of groups and the files of the groups."""

    def count(listed: str, **files: str) -> int:
        (tmp_path / "cgroup").write_text(listed)
        for name, text in files.items():
            path = tmp_path / "fs" / name.replace("__", "/").replace("DOT", ".")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        return usable_cores(tmp_path / "cgroup", tmp_path / "fs")

    return count


def test_cores_are_those_of_the_affinity_and_not_of_the_machine():
    here = os.sched_getaffinity(0)
    try:
        os.sched_setaffinity(0, {min(here)})
        assert usable_cores() == 1
    finally:
        os.sched_setaffinity(0, here)


@pytest.mark.parametrize(
    ("listed", "files", "cores"),
    [
        ("0::/\n", {}, 8),
        ("0::/\n", {"cpuDOTmax": "max 100000\n"}, 8),
        ("0::/\n", {"cpuDOTmax": "200000 100000\n"}, 2),
        ("0::/\n", {"cpuDOTmax": "250000 100000\n"}, 3),
        ("0::/\n", {"cpuDOTmax": "10000 100000\n"}, 1),
        ("0::/job/step\n", {"job__cpuDOTmax": "300000 100000\n", "job__step__cpuDOTmax": "max 100000\n"}, 3),
        ("0::/job/step\n", {"job__cpuDOTmax": "300000 100000\n", "job__step__cpuDOTmax": "100000 100000\n"}, 1),
        ("0::/of/the/host\n", {"cpuDOTmax": "400000 100000\n"}, 4),
        ("0::/\n", {"cpuDOTmax": "nonsense\n"}, 8),
        (
            "4:memory:/a\n3:cpu,cpuacct:/a\n",
            {"cpu__a__cpuDOTcfs_quota_us": "150000\n", "cpu__a__cpuDOTcfs_period_us": "50000\n"},
            3,
        ),
        ("3:cpu:/\n", {"cpu__cpuDOTcfs_quota_us": "-1\n", "cpu__cpuDOTcfs_period_us": "100000\n"}, 8),
        ("3:cpu:/\n", {"cpu__cpuDOTcfs_quota_us": "100000\n", "cpu__cpuDOTcfs_period_us": "0\n"}, 8),
    ],
)
def test_the_smallest_quota_of_the_groups_is_used(cores_in, listed, files, cores):
    assert cores_in(listed, **files) == cores


def test_a_machine_without_control_groups_has_the_cores_of_the_affinity(tmp_path, eight_cores):
    assert usable_cores(tmp_path / "none", tmp_path) == 8
