"""Meters of machines that join and are lost. The machines are simulated: their meters answer without Ray."""

import os
from pathlib import Path
from types import SimpleNamespace

import pytest
import ray

from kdtune.energy.reading import Reading
from kdtune.errors import MachineError
from kdtune.execution.ray import node_meters
from kdtune.execution.ray.node_meters import NodeMeters

HERE = os.uname().nodename


class Machine:
    """A machine whose meter has counted this much energy; it records its requests."""

    def __init__(self, spent_uj: int, began_ns: int = 1) -> None:
        self.spent_uj, self.began_ns = spent_uj, began_ns
        self.fails: BaseException | None = None
        self.asked: list[tuple] = []

    def __getattr__(self, method: str) -> SimpleNamespace:
        return SimpleNamespace(remote=lambda *args: (self, method, args))

    def answer(self, method: str, args: tuple) -> object:
        if self.fails:
            raise self.fails
        self.asked.append((method, *args))
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
    return there


@pytest.fixture
def meters(machines):
    meters = NodeMeters("session")
    meters.start()
    meters.begin(Path("/first"), None)
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


def test_the_next_ledger_names_the_machines_that_are_left(machines, meters):
    machines["c"] = Machine(0)
    meters.meter_new_nodes()
    meters.settle()
    assert ("know", sorted([HERE, "b", "c"])) in machines[HERE].asked
    assert machines["c"].asked == [
        ("begin", "/first", None, sorted([HERE, "b", "c"])),
        ("go_to", "/first", sorted([HERE, "b", "c"])),
    ]
    lose(machines, "b")
    meters.reading()
    meters.switch(Path("/second"))
    meters.settle()
    assert machines[HERE].asked[-1] == ("switch", "/second", sorted([HERE, "c"]))
    lose(machines, "c")
    meters.reading()
    meters.switch(Path("/third"))
    meters.settle()
    assert machines[HERE].asked[-1] == ("switch", "/third", [])


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


def test_a_full_disk_ends_a_study_only_on_its_own_machine(machines, meters):
    full = ray.exceptions.RayTaskError("switch", "", MachineError("the disk is full"))
    machines["b"].fails = full
    meters.switch(Path("/second"))
    meters.settle()
    assert meters.ask_one("b", "sample") is None
    machines[HERE].fails = full
    with pytest.raises(ray.exceptions.RayTaskError):
        meters.ask("sample")
