"""Compiled code that strategies share: which command makes it, and the energy that it is charged with."""

import shutil
from contextlib import contextmanager

import pytest

from kdtune.artifacts.caches import cached, remove
from kdtune.artifacts.compiled_code import CompiledCode
from kdtune.artifacts.shared_code import SharedCode
from kdtune.energy import ledger
from kdtune.energy.carbon import PAPER
from kdtune.errors import BudgetReached
from kdtune.execution.artifact_store import ArtifactStore
from kdtune.execution.run_context import RunContext
from kdtune.planning.budget import Budget, BudgetWatch
from kdtune.planning.resources import Resources
from kdtune.results.watcher import Watcher
from kdtune.specs import load_study
from kdtune.storage.paths import data_dir
from tests.energy.simulated import J, Node, two_cores
from tests.studies import small_study

#: Energy of one second: memory of both cores and one busy core.
ONCE = 24 * J


COMPILED: list = []


class _Executor:
    """The part of an executor that the artifact store uses; each charge lasts a second."""

    slots = 1

    def __init__(self, folder):
        self.folder, self.id, self.resources = folder, "s1", Resources(1.0, 0.0)
        self._node = Node(two_cores())

    def run_jobs(self, function, calls, poll, environment):
        """Write code as a worker would."""
        [(_, _, _, _, artifact, _)] = calls
        code = CompiledCode(artifact.folder).code
        assert environment["TORCHINDUCTOR_CACHE_DIR"] == str(code)
        code.mkdir(parents=True, exist_ok=True)
        (code / f"{len(COMPILED)}.so").touch()
        COMPILED.append(artifact.folder)

    @contextmanager
    def charging(self, folder):
        try:
            yield
        finally:
            known = len(self._node.records)
            folder.mkdir(parents=True, exist_ok=True)
            for record in self._node.start().work(1, study=1).stop().records[known:]:
                ledger.write(folder / "here.jsonl", record)


@pytest.fixture
def place(monkeypatch, tmp_path):
    monkeypatch.setenv("KDTUNE_CACHE_DIR", str(tmp_path / "cache"))
    return tmp_path / "cache" / "compilations" / "c1"


@pytest.fixture
def jobs():
    """The folders into which a worker had to write code."""
    COMPILED.clear()
    return COMPILED


def of_a_command(tmp_path, name="s1"):
    study = load_study(small_study())
    budget = BudgetWatch(Budget(), PAPER, dedicated=study.is_dedicated)
    context = RunContext(_Executor(tmp_path / name), Watcher(), budget, data_dir(tmp_path))
    return ArtifactStore(study, context)


def charged(shared, place):
    return shared.provide(SharedCode(place, False, "a network"))["energy"].charged_uj


def test_code_is_made_once_and_all_strategies_and_commands_are_charged_the_same(tmp_path, place, jobs):
    first, second = of_a_command(tmp_path), of_a_command(tmp_path, "s2")
    assert [charged(first, place), charged(first, place), charged(second, place)] == [ONCE] * 3
    assert jobs == [place]
    # It counts towards the budget of the command that made it.
    assert (tmp_path / "s1" / "made.txt").read_text() == f"{place}\n" and not (tmp_path / "s2").exists()


def test_code_is_not_removed_while_a_command_uses_it(tmp_path, place, jobs):
    shared = of_a_command(tmp_path)
    charged(shared, place)
    [found] = cached(["compilations"])
    assert remove([found]) == [place]
    shared.close()
    assert remove([found]) == [] and not place.exists()


def test_interrupted_compilation_is_continued_and_both_parts_are_charged(tmp_path, place, jobs, monkeypatch):
    def stopped(*given, **named):
        CompiledCode(place).code.mkdir()
        (CompiledCode(place).code / "half.so").touch()
        raise BudgetReached("no more")

    with monkeypatch.context() as patched:
        patched.setattr(_Executor, "run_jobs", stopped)
        shared = of_a_command(tmp_path)
        with pytest.raises(BudgetReached):
            charged(shared, place)
    assert not CompiledCode(place).is_made()
    assert charged(shared, place) == 2 * ONCE
    assert (CompiledCode(place).code / "half.so").exists()


def test_code_of_unknown_energy_is_replaced_and_does_not_reduce_the_charge(tmp_path, place, jobs):
    CompiledCode(place).code.mkdir(parents=True)
    (CompiledCode(place).code / "found.so").touch()
    assert charged(of_a_command(tmp_path), place) == ONCE
    assert not (CompiledCode(place).code / "found.so").exists()


def test_code_without_energy_record_is_made_again_beside_the_existing_code(tmp_path, place, jobs):
    charged(of_a_command(tmp_path), place)
    shutil.rmtree(CompiledCode(place).ledger)
    before = list(CompiledCode(place).code.iterdir())
    assert charged(of_a_command(tmp_path), place) == ONCE
    assert jobs == [place, place / "again"]
    assert list(CompiledCode(place).code.iterdir()) == before and not (place / "again").exists()
