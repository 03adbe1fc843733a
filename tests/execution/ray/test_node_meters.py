"""Meters of machines that join and are lost. The machines are simulated: their meters answer without Ray."""

import json
import os
from pathlib import Path
from types import SimpleNamespace

import pytest
import ray

from kdtune.energy.reading import Reading
from kdtune.errors import MachineError
from kdtune.execution.ray import node_meters
from kdtune.execution.ray.node_meters import NodeMeters
from kdtune.execution.shared_folders import SharedFolders

HERE = os.uname().nodename


class Machine:
    """A machine whose meter has counted this much energy; it records its requests."""

    def __init__(self, spent_uj: int, began_ns: int = 1) -> None:
        self.spent_uj, self.began_ns = spent_uj, began_ns
        #: What is wrong with the folders that this machine has to share.
        self.faults: list[str] = []
        #: Content of its ledgers, which it writes on its own disk, by the name of the driver's folder.
        self.ledgers = {"first": b"", "second": b""}
        self.fails: BaseException | None = None
        self.asked: list[tuple] = []

    def __getattr__(self, method: str) -> SimpleNamespace:
        return SimpleNamespace(remote=lambda *args: (self, method, args))

    def answer(self, method: str, args: tuple) -> object:
        if self.fails:
            raise self.fails
        if method == "ledger_lines":
            return self.ledgers[Path(args[0]).name][args[1] :]
        self.asked.append((method, *args))
        if method == "missing_folders":
            return self.faults
        if method != "reading":
            return True
        return Reading({}, {"idle": self.spent_uj}, {"trials": self.spent_uj}, self.began_ns)


@pytest.fixture
def machines(monkeypatch):
    """The machines of the cluster by name."""
    there = {HERE: Machine(10), "b": Machine(1000)}

    def start(session_id, metered=(), **_):
        return {name: machine for name, machine in there.items() if name not in metered}

    monkeypatch.setattr(node_meters, "start_meters", start)
    monkeypatch.setattr(ray, "get", lambda call: call[0].answer(*call[1:]))
    monkeypatch.setattr(ray, "wait", lambda calls, **_: (calls, []))
    return there


@pytest.fixture
def meters(machines, tmp_path):
    machines[HERE].told = told = []
    meters = NodeMeters("session", tell=told.append)
    meters.start()
    meters.begin(tmp_path / "first", None)
    meters.settle()
    return meters


def lose(machines, name):
    machines.pop(name).fails = ray.exceptions.ActorDiedError()


def test_the_energy_of_a_lost_machine_is_kept_also_when_it_returns(machines, meters):
    reading = meters.reading()
    assert reading.spent == {"trials": 1010}
    assert [reading.charged_uj(dedicated=dedicated) for dedicated in (True, False)] == [1010, 0]
    lose(machines, "b")
    assert meters.reading().spent == {"trials": 1010}
    machines["b"] = Machine(1, began_ns=2)
    meters.meter_new_nodes()
    assert meters.reading().spent == {"trials": 1011}


def test_a_restarted_meter_is_not_counted_twice(machines, meters):
    meters.reading()
    lose(machines, "b")
    meters.reading()
    machines["b"] = Machine(1500, began_ns=1)
    meters.meter_new_nodes()
    assert meters.reading().spent == {"trials": 1510}


def test_the_next_ledger_names_the_machines_that_are_left(machines, meters, tmp_path):
    first, second, third = (str(tmp_path / name) for name in ("first", "second", "third"))
    machines["c"] = Machine(0)
    meters.meter_new_nodes()
    meters.settle()
    assert ("know", sorted([HERE, "b", "c"])) in machines[HERE].asked
    assert machines["c"].asked == [
        ("begin", first, None, sorted([HERE, "b", "c"])),
        ("go_to", first, sorted([HERE, "b", "c"])),
    ]
    lose(machines, "b")
    meters.reading()
    meters.switch(Path(second))
    meters.settle()
    assert machines[HERE].asked[-1] == ("switch", second, sorted([HERE, "c"]))
    lose(machines, "c")
    meters.reading()
    meters.switch(Path(third))
    meters.settle()
    assert machines[HERE].asked[-1] == ("switch", third, [])


def test_a_machine_whose_meter_does_not_begin_is_tried_again(machines, meters, monkeypatch):
    machines["c"] = machine = Machine(0)
    monkeypatch.setattr(machine, "begin", SimpleNamespace(remote=_refuses), raising=False)
    meters.meter_new_nodes()
    assert meters.ask_one("c", "sample") is None
    monkeypatch.undo()
    monkeypatch.setattr(ray, "get", lambda call: call[0].answer(*call[1:]))
    monkeypatch.setattr(node_meters, "start_meters", lambda *_, **__: {"c": machine})
    meters.meter_new_nodes()
    assert meters.ask_one("c", "sample") is True


def _refuses(*_):
    raise ValueError("the actor has died")


@pytest.mark.parametrize("error", [MachineError("the disk is full"), OSError(5, "Input/output error")])
def test_a_faulty_disk_ends_a_study_only_on_its_own_machine(machines, meters, tmp_path, error):
    full = ray.exceptions.RayTaskError("switch", "", error)
    machines["b"].fails = full
    meters.switch(tmp_path / "second")
    meters.settle()
    assert meters.ask_one("b", "sample") is None
    machines[HERE].fails = full
    with pytest.raises(ray.exceptions.RayTaskError):
        meters.ask("sample")


# --- ledgers of machines that do not share the driver's folder ------------------------------------------------------


def numbers(ledger):
    return [json.loads(line)["seq"] for line in ledger.read_text().splitlines()]


def keep_up(meters):
    """As in two seconds of a study: the first call requests the lines, and the second one copies them."""
    for _ in range(2):
        meters._copied_at_s = 0.0
        meters.keep_up()


def test_ledgers_of_other_machines_are_copied_line_by_line_into_every_folder(machines, meters, tmp_path):
    first, second = tmp_path / "first" / "b.jsonl", tmp_path / "second" / "b.jsonl"
    there = machines["b"].ledgers
    there["first"] = b'{"seq": 0}\n'
    keep_up(meters)
    there["first"] += b'{"seq": 1}\n'
    keep_up(meters)
    assert numbers(first) == [0, 1]
    there["first"] += b'{"seq": 2}\n'
    there["second"] = b'{"seq": 3}\n'
    meters.switch(second.parent)
    meters.settle()  # from now on the ledger of ``first`` may be read
    assert (numbers(first), numbers(second)) == ([0, 1, 2], [3])
    assert not (tmp_path / "first" / f"{HERE}.jsonl").exists()  # its meter writes that itself


def test_a_ledger_that_is_complete_is_on_the_disk(machines, meters, tmp_path, monkeypatch):
    """Also if its last lines were copied earlier, and if its machine is lost."""
    synced, fsync = [], os.fsync
    monkeypatch.setattr(
        os, "fsync", lambda file: (synced.append(str(Path(f"/proc/self/fd/{file}").readlink())), fsync(file))
    )
    machines["c"] = Machine(0)
    meters.meter_new_nodes()
    for name in ("b", "c"):
        machines[name].ledgers["first"] = b'{"seq": 0}\n'
    meters.switch(tmp_path / "second")
    keep_up(meters)
    assert not synced  # the copies of every second are not
    lose(machines, "c")
    meters.settle()
    assert synced == [str(tmp_path / "first" / f"{name}.jsonl") for name in ("b", "c")]


def test_the_last_lines_are_copied_before_the_meters_end(machines, meters, tmp_path, monkeypatch):
    monkeypatch.setattr(ray, "kill", lambda meter: None)
    machines["b"].ledgers["first"] = b'{"seq": 0}\n'
    meters.end()
    assert numbers(tmp_path / "first" / "b.jsonl") == [0]
    assert machines["b"].asked[-1] == ("forget_ledgers",)


def test_a_machine_that_dies_at_the_end_does_not_keep_the_others_from_ending(machines, meters, tmp_path, monkeypatch):
    monkeypatch.setattr(ray, "kill", lambda meter: None)
    machines["c"] = Machine(1)
    meters.meter_new_nodes()
    keep_up(meters)  # leaves a request to each machine
    machines["c"].ledgers["first"] = b'{"seq": 0}\n'
    lose(machines, "b")
    meters.end()
    assert numbers(tmp_path / "first" / "c.jsonl") == [0]
    assert {machines[name].asked[-1] for name in (HERE, "c")} == {("forget_ledgers",)}


def test_what_a_lost_machine_had_reported_stays_and_is_continued_when_it_returns(machines, meters, tmp_path):
    machines["b"].ledgers["first"] = b'{"seq": 0}\n'
    keep_up(meters)
    meters.switch(tmp_path / "second")
    lose(machines, "b")
    meters.settle()
    [told] = machines[HERE].told
    assert told.startswith("b: the energy meter is lost") and told.endswith("the result is flagged")
    assert numbers(tmp_path / "first" / "b.jsonl") == [0]
    machines["b"] = Machine(1, began_ns=2)
    machines["b"].ledgers["second"] = b'{"seq": 1}\n'  # the old files are gone
    meters.meter_new_nodes()
    meters.settle()
    assert numbers(tmp_path / "second" / "b.jsonl") == [1]


def test_requests_to_a_lost_meter_do_not_drop_the_meter_that_follows_it(machines, meters, tmp_path):
    meters.switch(tmp_path / "second")
    lose(machines, "b")
    meters.reading()
    machines["b"] = Machine(1, began_ns=2)
    meters.meter_new_nodes()
    meters.settle()
    assert len(machines[HERE].told) == 1
    assert meters.ask_one("b", "sample") is True


# --- folders that the machines have to share ------------------------------------------------------------------------


def test_a_machine_without_the_shared_folders_is_named_before_any_work(machines, tmp_path):
    machines["b"].faults = ["does not see /results of the driver (No such file or directory)"]
    meters = NodeMeters("session", tell=[].append)
    meters.start(shared=SharedFolders("session", "/results", "/cache"))
    meters.begin(tmp_path / "first", None)
    with pytest.raises(MachineError, match=r"b: does not see /results of the driver .*KDTUNE_CACHE_DIR"):
        meters.settle()
    machines["c"] = Machine(1)
    machines["c"].faults = ["does not see /cache of the driver (No such file or directory)"]
    meters.meter_new_nodes()
    with pytest.raises(MachineError, match="c: does not see /cache"):
        meters.settle()
