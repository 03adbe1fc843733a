import os
import resource
import signal
import time
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kdtune.energy.processes import CpuScope, Process, identity_of, snapshot
from tests.waiting import wait_for

from .burners import BURN, BURN_ON, cpu_us, python, wait_for_cpu

#: Allowed error: /proc counts in hundredths of a second, separately for user and system time and for each process.
TICKS_US = 80_000


def own_scope() -> CpuScope:
    """Return a scope of this process that starts at 0 now."""
    return CpuScope([identity_of(os.getpid())], snapshot())


class OwnTime:
    """A scope of this process that starts at 0 now, and bounds of the CPU time that it may count.

    So a pause between two readings changes the bounds, and not whether the counted time is within them.
    """

    def __init__(self) -> None:
        self._earlier_us = used_us()
        self.scope = own_scope()
        self._later_us = used_us()

    def check(self) -> None:
        """Update the scope and compare it with the system's own accounting."""
        least_us = used_us() - self._later_us
        counted_us = self.scope.update(snapshot())
        assert least_us - TICKS_US <= counted_us <= used_us() - self._earlier_us + TICKS_US


def used_us() -> float:
    """Return the CPU time of this process and its reaped children in microseconds, from another source than /proc."""
    mine, children = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return (mine.ru_utime + mine.ru_stime + children.ru_utime + children.ru_stime) * 1e6


# --- real processes --------------------------------------------------------------------------------------------


def test_a_busy_process_is_measured_like_the_systems_own_accounting():
    own, before = OwnTime(), time.process_time()
    while time.process_time() - before < 0.25:
        pass
    own.check()
    assert own.scope.total_us >= 250_000 - TICKS_US


@contextmanager
def sleeper():
    """Start a process that has come to rest."""
    with python("import time; print('up', flush=True); time.sleep(600)") as child:
        child.stdout.readline()
        wait_for(lambda: Path(f"/proc/{child.pid}/stat").read_text().split()[2] == "S")
        yield child


def test_a_sleeping_process_spends_nothing():
    with sleeper() as child:
        scope = CpuScope([identity_of(child.pid)], snapshot())
        time.sleep(0.15)
        assert scope.update(snapshot()) <= 20_000


def test_a_child_that_ended_between_two_snapshots_still_counts():
    own = OwnTime()
    with python(BURN, "0.25") as child:
        child.wait()
    assert own.scope.update(snapshot()) >= 250_000 - TICKS_US
    own.check()


def test_a_child_is_counted_once_while_it_runs_and_after_it_was_reaped():
    own = OwnTime()
    with python(BURN + "print('done', flush=True); time.sleep(600)", "0.25") as child:
        child.stdout.readline()
        running_us = own.scope.update(snapshot())
        child.kill()
        child.wait()
    assert running_us >= 250_000 - TICKS_US
    own.check()


def test_a_grandchild_counts_while_it_runs():
    spawn = """
        import subprocess, sys
        subprocess.run([sys.executable, "-I", "-S", "-c", sys.argv[1]])
        """
    scope = own_scope()
    with python(spawn, BURN_ON) as child:
        wait_for(lambda: grandchildren(child.pid))
        [grandchild] = grandchildren(child.pid)
        wait_for(lambda: cpu_us(grandchild) >= 100_000)
        assert scope.update(snapshot()) >= 100_000
        os.kill(grandchild, signal.SIGKILL)


def grandchildren(pid: int) -> list[int]:
    return [process.pid for process in snapshot().values() if process.parent == pid]


def test_a_process_is_still_counted_after_its_parent_died():
    spawn = """
        import subprocess, sys, time
        orphan = subprocess.Popen([sys.executable, "-I", "-S", "-c", sys.argv[1]])
        print(orphan.pid, flush=True)
        time.sleep(600)
        """
    with python(spawn, BURN_ON) as child:
        orphan = int(child.stdout.readline())
        try:
            scope = CpuScope([identity_of(child.pid)], snapshot())
            scope.update(snapshot())
            child.kill()
            child.wait()
            at_death_us = scope.update(snapshot())
            wait_for(lambda: scope.update(snapshot()) >= at_death_us + 150_000)
        finally:
            os.kill(orphan, signal.SIGKILL)


def test_a_process_outside_the_scope_does_not_count():
    with sleeper() as mine, python(BURN_ON) as theirs:
        scope = CpuScope([identity_of(mine.pid)], snapshot())
        wait_for_cpu(theirs.pid, 200_000)
        assert scope.update(snapshot()) <= TICKS_US


def test_a_process_is_alive_until_it_was_reaped_or_killed():
    with python("import time; time.sleep(600)") as child:
        scope = CpuScope([identity_of(child.pid)], snapshot())
        assert scope.alive(snapshot())
        child.kill()
        child.wait()
        assert not scope.alive(snapshot())


def test_a_killed_process_that_was_not_reaped_is_not_alive():
    with python("import time; time.sleep(600)") as child:
        scope = CpuScope([identity_of(child.pid)], snapshot())
        child.kill()
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
        assert not scope.alive(snapshot())


def test_the_identity_of_an_ended_process_is_an_error():
    with python("") as child:
        child.wait()
        with pytest.raises(ProcessLookupError, match=str(child.pid)):
            identity_of(child.pid)


def test_a_snapshot_knows_parents_and_identities():
    with python("import time; time.sleep(600)") as child:
        found = snapshot()[child.pid]
        assert found.parent == os.getpid()
        assert found.identity == identity_of(child.pid)


def test_an_unusual_process_name_does_not_confuse_the_parser():
    rename = """
        import time
        open("/proc/self/comm", "w").write(") R 1 (x y")
        print("renamed", flush=True)
        time.sleep(600)
        """
    with python(rename) as child:
        before = identity_of(child.pid)
        child.stdout.readline()
        assert identity_of(child.pid) == before
        assert snapshot()[child.pid].parent == os.getpid()


def test_the_time_of_a_child_that_is_not_waited_for_is_remembered():
    # Ray's daemon does the same with its workers: the system reaps them, and no process inherits their time.
    spawn = """
        import signal, subprocess, sys, time
        signal.signal(signal.SIGCHLD, signal.SIG_IGN)
        print(subprocess.Popen([sys.executable, "-I", "-S", "-c", sys.argv[1]]).pid, flush=True)
        time.sleep(600)
        """
    with python(spawn, BURN_ON) as daemon:
        worker = int(daemon.stdout.readline())
        scope = CpuScope([identity_of(daemon.pid)], snapshot())
        wait_for(lambda: scope.update(snapshot()) >= 150_000)
        seen_us = scope.total_us
        os.kill(worker, signal.SIGKILL)
        wait_for(lambda: worker not in snapshot())
        assert seen_us <= scope.update(snapshot()) <= seen_us + TICKS_US


# --- computed by hand ------------------------------------------------------------------------------------------


def world(*processes: tuple[int, ...]) -> dict[int, Process]:
    """Return a snapshot from tuples of pid, parent, start, own CPU time, and inherited CPU time of children."""
    return {row[0]: Process(*row) for row in processes}


def test_counting_starts_at_the_given_snapshot():
    scope = CpuScope([(10, 5)], world((10, 1, 5, 700), (11, 10, 6, 300)))
    assert scope.update(world((10, 1, 5, 750), (11, 10, 6, 310))) == 60


def test_a_root_that_is_added_brings_all_of_its_cpu_time():
    scope = CpuScope([], {})
    scope.add_root((10, 5), world((10, 1, 5, 700)))
    assert scope.total_us == 700


def test_a_root_that_is_a_descendant_already_is_not_counted_twice():
    processes = world((10, 1, 5, 0), (11, 10, 6, 300))
    scope = CpuScope([(10, 5)], world((10, 1, 5, 0)))
    scope.add_root((11, 6), processes)
    assert scope.total_us == 300


def test_a_later_process_with_the_same_pid_is_another_one():
    scope = CpuScope([(10, 5)], world((10, 1, 5, 100)))
    reused = world((10, 1, 900, 5_000))
    assert scope.update(reused) == 0
    assert not scope.alive(reused)


def test_a_process_that_reuses_the_pid_of_a_child_is_another_one():
    scope = CpuScope([(10, 5)], world((10, 1, 5, 0)))
    scope.update(world((10, 1, 5, 0), (11, 10, 6, 40)))
    assert scope.update(world((10, 1, 5, 0, 40), (11, 1, 900, 9_000))) == 40


def test_the_last_seen_time_of_a_process_is_kept_if_no_process_inherits_it():
    scope = CpuScope([(10, 5), (20, 5)], world((10, 1, 5, 0), (20, 1, 5, 0)))
    assert scope.update(world((10, 1, 5, 100), (20, 1, 5, 50))) == 150
    assert scope.update(world((20, 1, 5, 50))) == 150
    assert scope.update(world((20, 1, 5, 70))) == 170


def test_the_time_of_others_is_counted_while_a_process_ends():
    scope = CpuScope([(10, 5), (20, 5)], world((10, 1, 5, 0), (20, 1, 5, 0)))
    scope.update(world((10, 1, 5, 100), (20, 1, 5, 50)))
    assert scope.update(world((20, 1, 5, 80))) == 180


def test_any_living_root_keeps_a_scope_alive():
    both = world((10, 1, 5, 0), (20, 1, 5, 0))
    scope = CpuScope([(10, 5), (20, 5)], both)
    assert scope.alive(world((20, 1, 5, 0)))
    assert not scope.alive(world((30, 1, 5, 0)))


def test_time_that_a_parent_inherited_is_not_counted_twice():
    scope = CpuScope([(10, 5)], world((10, 1, 5, 0)))
    scope.update(world((10, 1, 5, 0), (11, 10, 6, 100)))
    # The child used 20 more before it ended, which is only seen in its parent's time.
    assert scope.update(world((10, 1, 5, 0, 120))) == 120


def test_only_the_time_of_a_child_that_was_waited_for_is_inherited():
    scope = CpuScope([(10, 5)], world((10, 1, 5, 0)))
    scope.update(world((10, 1, 5, 0), (11, 10, 6, 100), (12, 10, 7, 30)))
    assert scope.update(world((10, 1, 5, 0, 30))) == 130


def test_the_time_of_a_grandchild_is_inherited_through_a_parent_that_ended():
    scope = CpuScope([(10, 5)], world((10, 1, 5, 0)))
    scope.update(world((10, 1, 5, 0), (11, 10, 6, 100), (12, 11, 7, 30)))
    assert scope.update(world((10, 1, 5, 0, 130))) == 130


def test_the_time_of_a_process_includes_that_of_its_living_descendants():
    processes = world((10, 1, 5, 7, 20), (11, 10, 6, 100), (12, 11, 7, 1000), (20, 1, 5, 5000))
    assert CpuScope([(10, 5)], {}).update(processes) == 1127


def test_an_adopted_process_and_its_children_count_from_the_earlier_snapshot():
    scope = CpuScope([(10, 5)], world((10, 1, 5, 0)))
    before = world((10, 1, 5, 0), (20, 1, 6, 100), (21, 20, 7, 50))
    scope.update(before)
    scope.adopt((20, 6), before)
    assert scope.update(world((10, 1, 5, 3), (20, 1, 6, 130), (21, 20, 7, 90), (22, 20, 8, 7))) == 3 + 30 + 40 + 7
    scope.adopt((20, 6), before)
    assert scope.total_us == 80


def test_an_adopted_process_counts_from_its_start_if_that_is_later():
    scope = CpuScope([(10, 5)], world((10, 1, 5, 0)))
    scope.adopt((20, 9), world((10, 1, 5, 0), (20, 1, 6, 100)))  # the pid belonged to another process
    assert scope.update(world((10, 1, 5, 0), (20, 1, 9, 40))) == 40
    assert scope.update(world((10, 1, 5, 0))) == 40


class World:
    """A simulated system whose processes start, work and end; it counts the study's CPU time independently of /proc."""

    def __init__(self) -> None:
        self.rows = {1: [0, 1, 0, 0], 10: [1, 5, 0, 0]}  # pid: parent, start, own time, inherited time
        self.used_us = 0
        self.study = {10}
        self.births = 5

    def born(self, parent: int) -> None:
        self.births += 1
        pid = next(pid for pid in range(11, 100) if pid not in self.rows)  # the lowest free one, so pids are reused
        self.rows[pid] = [parent, self.births, 0, 0]
        self.study |= {pid} if parent in self.study else set()

    def work(self, pid: int, us: int) -> None:
        self.rows[pid][2] += us
        self.used_us += us if pid in self.study else 0

    def end(self, pid: int, waited_for: bool) -> None:
        parent, _, own_us, inherited_us = self.rows.pop(pid)
        self.study.discard(pid)
        if waited_for:
            self.rows[parent][3] += own_us + inherited_us
        for row in self.rows.values():
            row[0] = 1 if row[0] == pid else row[0]

    def snapshot(self) -> dict[int, Process]:
        return world(*((pid, *row) for pid, row in self.rows.items()))


@given(st.data())
def test_the_counter_equals_the_studys_cpu_time_for_any_history_of_processes(data):
    system = World()
    scope = CpuScope([(10, 5)], system.snapshot())
    for _ in range(data.draw(st.integers(1, 8))):
        others = sorted(system.rows.keys() - {1, 10})
        for pid in data.draw(st.lists(st.sampled_from(others), unique=True)) if others else []:
            system.end(pid, waited_for=data.draw(st.booleans()))
        for parent in data.draw(st.lists(st.sampled_from(sorted(system.rows)), max_size=3)):
            system.born(parent)
        for pid in sorted(system.rows):
            system.work(pid, data.draw(st.integers(0, 50)))
        assert scope.update(system.snapshot()) == system.used_us


@given(st.data())
def test_the_counter_never_decreases_even_if_processes_end_between_snapshots(data):
    system = World()
    scope, reached = CpuScope([(10, 5)], system.snapshot()), [0]
    for _ in range(data.draw(st.integers(1, 8))):
        for parent in data.draw(st.lists(st.sampled_from(sorted(system.rows)), max_size=3)):
            system.born(parent)
        for pid in sorted(system.rows):
            system.work(pid, data.draw(st.integers(0, 50)))
        for pid in data.draw(st.lists(st.sampled_from(sorted(system.rows.keys() - {1, 10}) or [0]), unique=True)):
            if pid:
                system.end(pid, waited_for=data.draw(st.booleans()))
        reached.append(scope.update(system.snapshot()))
    assert reached == sorted(reached)
    assert reached[-1] <= system.used_us
