import errno
import json
import os
import sys
import tempfile
import time
from pathlib import Path

import pytest

from kdtune.energy.neighbours import MeterRegistry, Neighbours

from .burners import python

JOINS_AND_WAITS = """
import sys, time
sys.path[:] = sys.argv[2:]
from pathlib import Path
from kdtune.energy.neighbours import MeterRegistry
one = MeterRegistry("other", Path(sys.argv[1]))
one.register()
with one.locked(0):
    one.announce(7, 1000, {"GPU-a": 500})
print("here", flush=True)
time.sleep(600)
"""


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "shared"


def joined(name, folder, t_ns=1) -> MeterRegistry:
    one = MeterRegistry(name, folder)
    one.register()
    with one.locked(0):
        one.announce(t_ns, 0, {})
    return one


def seen_by(one, since_ns=0) -> list[Neighbours]:
    with one.locked(since_ns) as states:
        return states


def test_a_single_meter_has_no_neighbours(folder):
    assert seen_by(joined("one", folder)) == []


def test_a_meter_that_has_not_joined_has_no_neighbours(folder):
    joined("two", folder)
    assert seen_by(MeterRegistry("one", folder)) == []


def test_a_meter_whose_folder_cannot_be_used_has_no_neighbours(tmp_path):
    (tmp_path / "file").write_text("no folder")
    one = MeterRegistry("one", tmp_path / "file" / "below")
    one.register()
    assert seen_by(one) == []


def test_changes_of_other_meters_are_seen_with_their_times(folder):
    one, two = joined("one", folder, 10), joined("two", folder, 20)
    with two.locked(0):
        two.announce(30, 1500, {"GPU-a": 1000})
    with two.locked(0):
        two.deregister(40)
    assert seen_by(one) == [
        Neighbours(0, 0),
        Neighbours(20, 1),
        Neighbours(30, 1, 0, 1500, {"GPU-a": 1000}),
        Neighbours(40, 0),
    ]


def test_only_states_since_a_moment_are_returned(folder):
    one, two = joined("one", folder, 10), joined("two", folder, 20)
    assert seen_by(one, 15) == [Neighbours(0, 0), Neighbours(20, 1)]
    with two.locked(0):
        two.announce(30, 1000, {})
    assert seen_by(one, 25) == [Neighbours(20, 1), Neighbours(30, 1, 0, 1000)]
    assert seen_by(one, 35) == [Neighbours(30, 1, 0, 1000)]
    with two.locked(0):
        two.deregister(40)
    assert seen_by(one, 39) == [Neighbours(30, 1, 0, 1000), Neighbours(40, 0)]
    assert seen_by(one, 41) == []


def test_what_several_others_hold_is_added_and_the_meters_have_an_order(folder):
    all_of_them = [joined(name, folder, t) for t, name in enumerate("bac", 1)]
    for one in all_of_them:
        with one.locked(0):
            one.announce(10, 500, {"GPU-a": 100})
    last = [seen_by(one)[-1] for one in all_of_them]
    assert [state.before for state in last] == [1, 0, 2]
    assert {(state.others, state.cpus_milli, state.gpus_milli["GPU-a"]) for state in last} == {(2, 1000, 200)}


def test_a_meter_that_holds_nothing_is_not_seen_by_the_others(folder):
    one, two = joined("one", folder, 10), joined("two", folder, 20)
    with two.locked(0):
        two.announce(30, 1000, {})
    looking = MeterRegistry("doctor", folder)
    looking.register()
    with looking.locked(0) as states:
        assert states[-1].others == 2
        looking.deregister(0)
    assert seen_by(one, 25) == [Neighbours(20, 1), Neighbours(30, 1, 0, 1000)]


def test_a_meter_that_is_killed_is_noticed(folder):
    one = joined("one", folder)
    with python(JOINS_AND_WAITS, str(folder), *sys.path) as process:
        assert process.stdout.readline() == "here\n"
        assert seen_by(one)[-1] == Neighbours(7, 1, 0, 1000, {"GPU-a": 500})
        before_ns = time.clock_gettime_ns(time.CLOCK_MONOTONIC)
        process.kill()
        process.wait()
        gone = seen_by(one, before_ns)[-1]
    assert gone.others == 0
    assert gone.t_ns >= before_ns


def test_a_meter_is_present_while_any_process_with_its_id_runs(folder):
    one, driver = joined("one", folder), joined("two", folder)
    meter = MeterRegistry("two", folder)
    meter.register()
    assert seen_by(one)[-1].others == 1
    del driver
    assert seen_by(one)[-1].others == 1


def test_invalid_lines_are_ignored(folder):
    one, _ = joined("one", folder), joined("two", folder)
    lines = ["", "no json", "[]", "{}", json.dumps({"t_ns": "x", "meter": "three", "held": {}}), "\u0000"]
    with (folder / "meters.jsonl").open("a") as file:
        file.write("\n".join(lines) + "\n")
    assert seen_by(one)[-1].others == 1


@pytest.mark.parametrize(
    "invalid",
    [
        {"meter": "../precious"},
        {"meter": "x\0"},
        {"t_ns": -1},
        {"t_ns": 10**400},
        {"held": {"cpus": -5, "gpus": {}}},
        {"held": {"cpus": 10**30, "gpus": {}}},
        {"held": {"cpus": 1, "gpus": {"GPU-a": -1}}},
    ],
)
def test_invalid_values_are_ignored_and_give_no_access_to_other_files(folder, invalid):
    one, _ = joined("one", folder), joined("two", folder)
    precious = folder.parent / "precious.alive"
    precious.touch()
    with (folder / "meters.jsonl").open("a") as file:
        file.write(json.dumps({"t_ns": 3, "meter": "three", "held": {"cpus": 1, "gpus": {}}} | invalid) + "\n")
    (state,) = seen_by(one)[-1:]
    assert (state.others, state.cpus_milli, precious.exists()) == (1, 0, True)


def test_the_first_meter_empties_the_file(folder):
    one = joined("one", folder)
    with one.locked(0):
        one.deregister(5)
    size = (folder / "meters.jsonl").stat().st_size
    joined("two", folder)
    assert (folder / "meters.jsonl").stat().st_size < size


@pytest.mark.parametrize("written", [0, 5])
def test_a_full_disk_damages_nothing_and_the_announcement_can_be_repeated(written, folder, monkeypatch):
    one, two = joined("one", folder), joined("two", folder)
    write = os.write

    def full(descriptor, data):
        if not written:
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(descriptor, data[:written])

    with monkeypatch.context() as patch, one.locked(0):
        patch.setattr("kdtune.energy.neighbours.os.write", full)
        assert not one.announce(50, 1000, {})
    assert seen_by(two, 50)[-1].cpus_milli == 0
    with one.locked(0):
        assert one.announce(60, 2000, {})
    assert seen_by(two, 60)[-1].cpus_milli == 2000


def test_a_meter_whose_folder_becomes_unusable_has_no_neighbours_from_then_on(folder):
    one, two = joined("one", folder), joined("two", folder)
    (folder / "meters.jsonl").unlink()
    (folder / "meters.jsonl").mkdir()  # no user, root included, can open it as a file
    assert seen_by(one) == []
    with two.locked(0):
        assert not two.announce(50, 1000, {})
        two.deregister(60)


LOOKS = """
import sys
sys.path[:] = sys.argv[2:]
from pathlib import Path
from kdtune.energy.neighbours import MeterRegistry
one = MeterRegistry("mine", Path(sys.argv[1]))
one.register()
with one.locked(0) as states:
    print(states[-1].others, flush=True)
"""


def as_user(uid, code):
    """Return a program that changes to another user after its imports."""
    return code.replace("\none = ", f"\nimport os; os.setuid({uid})\none = ")


@pytest.mark.skipif(os.geteuid() != 0, reason="changing the user requires root")
def test_files_left_by_another_users_killed_meter_do_no_harm():
    with tempfile.TemporaryDirectory() as place:  # other users cannot enter pytest's own folders
        Path(place).chmod(0o1777)
        arguments = [str(Path(place, "shared")), *sys.path]
        with python(as_user(1001, JOINS_AND_WAITS), *arguments) as process:
            assert process.stdout.readline() == "here\n"
            process.kill()
            process.wait()
        with python(as_user(1002, LOOKS), *arguments) as other:
            assert other.stdout.readline() == "0\n"
        assert Path(place, "shared", "other.alive").exists()


def test_another_place_to_meet_can_be_chosen(tmp_path, monkeypatch):
    """As in containers, which have no memory in common."""
    monkeypatch.setenv("KDTUNE_METERS_DIR", str(tmp_path))
    first, second = MeterRegistry("first"), MeterRegistry("second")
    for one in (first, second):
        one.register()
    with first.locked(0):
        first.announce(1, 500, {})
    with second.locked(1) as states:
        assert [state.cpus_milli for state in states] == [500]
    assert (tmp_path / "first.alive").exists()
