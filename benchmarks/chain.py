"""A chain of kills: a small study is killed and resumed repeatedly until it is complete, and then checked for losses.

All random choices of a chain come from its seed. :mod:`benchmarks.torture` runs many chains.
"""

import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

from benchmarks.driving import TIMEOUT_S, begin, kill, session_processes, wait_until_gone
from benchmarks.survival import (
    Charges,
    Outcome,
    inconsistencies,
    lost_energy,
    outcome_of,
    phase_of,
    unflagged_kills,
)
from kdtune.results.folder import StudyFolder

NAME = "digits-hkd"
STUDY = ["study", NAME, "-s", "random", "-s", "optuna", "--repeats", "1", "--epochs", "40"]
STUDY += [word for option in ("random.trials=2", "optuna.trials=4") for word in ("--set", f"strategies.{option}")]
STUDY += ["--set", "strategies.optuna.startup_trials=2", "--set", "teacher_training.epochs=10"]
STUDY += ["--set", "teacher_training.milestones=[5, 8]", "--quiet", "--no-report"]

#: Roles of processes that are killed together, with the relative frequency of each combination. ``group`` is the
#: command's process group (Ray's workers have their own groups); ``all`` is the command with all its descendants.
VICTIMS = {
    ("driver",): 6,
    ("worker",): 4,
    ("meter",): 4,
    ("raylet",): 2,
    ("gcs_server",): 2,
    ("group",): 2,
    ("all",): 2,
    ("worker", "meter"): 2,
    ("driver", "worker"): 1,
    ("driver", "meter"): 1,
    ("driver", "worker", "meter"): 1,
    ("raylet", "gcs_server"): 1,
    ("worker", "raylet"): 1,
}
MAX_KILLS = 8

#: Time in seconds for which Ray's other processes, except for its agents, may outlive a command that was killed.
PATIENCE_S = TIMEOUT_S


@dataclass
class Undisturbed:
    """The study without kills, with which chains are compared.

    Attributes:
        outcome: Outcome of the study.
        cold_s: Seconds that it took with an empty cache.
        warm_s: Seconds that it took with teacher and logits in the cache.
    """

    outcome: Outcome
    cold_s: float
    warm_s: float


@dataclass
class Chain:
    """The kills of one seed, and what happened to the study.

    Attributes:
        seed: Seed of all random choices.
        place: Working folder of the study.
        cache: Cache folder with teacher and logits.
        warm: Whether teacher and logits were in the cache at the beginning.
        more: Further arguments of the command that begins the study, such as ``--inline``.
        kills: A description of each kill, in order.
        killed: Time at which each command was killed, on this process's monotonic clock, by pid.
        commands: Number of commands so far.
        began_s: Start of the last command, in seconds since 1970.
        after_uj: Energy charged to the completed study, in microjoules.
        faults: Descriptions of everything that was lost or went wrong.
    """

    seed: int
    place: Path
    cache: Path
    warm: bool
    more: tuple[str, ...] = ()
    kills: list[dict[str, Any]] = field(default_factory=list)
    killed: dict[int, float] = field(default_factory=dict)
    commands: int = 0
    began_s: float = 0.0
    after_uj: int | None = None
    faults: list[str] = field(default_factory=list)

    @property
    def folder(self) -> StudyFolder:
        """Results folder of the study."""
        return StudyFolder(self.place / "results" / NAME)

    def begin(self, environment: dict[str, str]) -> subprocess.Popen[bytes]:
        """Start the study, or resume it if the last command has created its results folder.

        Args:
            environment: Environment variables from :func:`command_environment`.
        """
        self.commands += 1
        self.began_s = time.time()
        resume = ["resume", f"results/{NAME}", "--quiet", "--no-report"]
        arguments = resume if self.folder.run_toml.exists() else [*STUDY, *self.more]
        return begin(arguments, self.place, **environment)

    def last_words(self) -> str:
        """Return the output of the last command."""
        return (self.place / "said.txt").read_text(errors="replace").strip()


@contextmanager
def command_environment(cache: Path) -> Iterator[dict[str, str]]:
    """Provide environment variables for commands: their cache, and a temporary folder that is removed afterwards.

    Args:
        cache: Cache folder for teacher and logits.
    """
    # The folder contains Ray's sockets, whose paths must be short.
    with tempfile.TemporaryDirectory(prefix="kdtune-", dir="/tmp", ignore_cleanup_errors=True) as short:
        yield {"KDTUNE_CACHE_DIR": str(cache), "TMPDIR": short, "RAY_TMPDIR": short}


def once(place: Path, cache: Path, *more: str) -> tuple[Outcome, float]:
    """Run the study without a kill; return its outcome and the seconds that it took.

    Args:
        place: An empty folder.
        cache: Cache folder for teacher and logits.
        more: Further arguments of the command.
    """
    began_s = time.perf_counter()
    with command_environment(cache) as environment:
        code = begin([*STUDY, *more], place, **environment).wait(timeout=TIMEOUT_S)
    if code:
        sys.exit(f"the undisturbed study ended with exit code {code}:\n{(place / 'said.txt').read_text()}")
    return outcome_of(StudyFolder(place / "results" / NAME)), time.perf_counter() - began_s


def victims(process: subprocess.Popen[bytes], roles: tuple[str, ...], rng: Random) -> dict[int, str]:
    """Return the processes to kill, by pid, with a description of each.

    If no process has one of the roles at the moment, the command itself is killed.
    """
    running = session_processes(process.pid)
    workers = sorted(pid for pid, line in running.items() if line.startswith("ray::") and "Agent" not in line)
    meters = [pid for pid in workers if "NodeMeter" in running[pid]]
    at_work = [pid for pid in workers if pid not in meters and "IDLE" not in running[pid]]
    found: list[int] = []
    for role in roles:
        match role:
            case "driver":
                found.append(process.pid)
            case "worker":
                others = at_work or [pid for pid in workers if pid not in meters]
                found += [rng.choice(others)] if others else []
            case "meter":
                found += meters
            case "group":
                found += [pid for pid in running if _group_of(pid) == process.pid]
            case "all":
                found += running
            case daemon:
                found += [pid for pid, line in running.items() if line.split(" ")[0].endswith(f"/{daemon}")]
    return {pid: _role_name(running.get(pid, "")) for pid in found or [process.pid]}


def _group_of(pid: int) -> int:
    try:
        return os.getpgid(pid)
    except ProcessLookupError:
        return 0


def _role_name(line: str) -> str:
    """Return the name of a process in the results, from its command line."""
    words = line.split(" ")
    return "driver" if "-m kdtune" in line else words[0] if words[0].startswith("ray::") else Path(words[0]).name


def one_chain(
    seed: int,
    place: Path,
    shared_cache: Path,
    expected: Undisturbed,
    kills: int = MAX_KILLS,
    more: tuple[str, ...] = (),
) -> Chain:
    """Kill and resume a study until it is complete, then check that nothing was lost.

    Args:
        seed: Seed of all random choices.
        place: An empty folder.
        shared_cache: Cache folder with teacher and logits, for chains with a warm cache.
        expected: The study without kills.
        kills: Largest number of kills.
        more: Further arguments of the command that begins the study.
    """
    rng = Random(seed)
    warm = rng.random() < 0.5
    chain = Chain(seed, place, shared_cache if warm else place / "cache", warm, more)
    left = min(rng.randint(1, MAX_KILLS), kills)
    process, code = None, None
    try:
        with command_environment(chain.cache) as environment:
            while code != 0 and not chain.faults:
                process = chain.begin(environment)
                whole_s = expected.warm_s if warm or chain.commands > 1 else expected.cold_s
                last_kill = _kill_during(chain, process, whole_s, left - len(chain.kills), rng)
                code = _wait_for_end(chain, process, last_kill)
        if not chain.faults:
            chain.after_uj = Charges.of(chain.folder, chain.cache).spent_uj
            chain.faults += inconsistencies(chain.folder, chain.cache)
            chain.faults += expected.outcome.differing(outcome_of(chain.folder))
            for one in chain.kills:
                chain.faults += lost_energy(chain.folder, chain.cache, one["charges"])
                chain.faults += unflagged_kills(chain.folder, chain.cache, one["charges"]) if one["fatal"] else []
    except Exception as error:  # any error is a fault of this seed and must not end the other chains
        chain.faults.append(f"{type(error).__name__}: {error}")
    finally:
        if process and code != 0:
            kill(list(session_processes(process.pid)))
    return chain


def _kill_during(
    chain: Chain, process: subprocess.Popen[bytes], whole_s: float, left: int, rng: Random
) -> dict[str, Any] | None:
    """Kill processes of a command at random moments until the command ends.

    Args:
        chain: The chain.
        process: The command.
        whole_s: Seconds that the undisturbed command takes.
        left: Largest number of kills.
        rng: Source of random choices.

    Returns:
        The last kill; None if the command ended before one.
    """
    began_s, at_s, last_kill = time.monotonic(), rng.uniform(0.0, whole_s), None
    for _ in range(left):
        roles = rng.choices(list(VICTIMS), list(VICTIMS.values()))[0]
        try:
            process.wait(timeout=max(0.0, began_s + at_s - time.monotonic()))
            break  # it ended before the kill
        except subprocess.TimeoutExpired:
            last_kill = strike(chain, process, roles, at_s, whole_s, rng)
        if last_kill["fatal"]:
            break
        at_s += rng.uniform(0.0, whole_s / 2)
    return last_kill


def strike(
    chain: Chain, process: subprocess.Popen[bytes], roles: tuple[str, ...], at_s: float, whole_s: float, rng: Random
) -> dict[str, Any]:
    """Kill processes now, add the kill to the chain and return it.

    If the command itself is killed, in half of the cases this waits until none of its processes is left.
    """
    found = victims(process, roles, rng)
    phase, charges = phase_of(chain.folder, chain.cache, chain.began_s), Charges.of(chain.folder, chain.cache)
    kill(list(found))
    fatal = process.pid in found
    one: dict[str, Any] = {
        "drawn": "+".join(roles),
        "killed": dict(Counter(found.values())),
        "at_s": round(at_s, 2),
        "of_the_whole": round(at_s / whole_s, 3),
        "phase": phase,
        "before_uj": charges.spent_uj,
        "charges": charges,
        "fatal": fatal,
    }
    chain.kills.append(one)
    if fatal:
        one["resumed_at_once"] = rng.random() < 0.5
        process.wait()
        chain.killed[process.pid] = began_s = time.monotonic()
        if not one["resumed_at_once"]:
            if orphans := wait_until_gone(process.pid, PATIENCE_S):
                chain.faults.append(f"still there {PATIENCE_S:.0f} s after the kill: {orphans}")
            one["gone_after_s"] = round(time.monotonic() - began_s, 1)
    return one


def _wait_for_end(chain: Chain, process: subprocess.Popen[bytes], last_kill: dict[str, Any] | None) -> int:
    """Wait for a command's end and return its exit code; add a fault if its end was not a proper one."""
    try:
        code = process.wait(timeout=TIMEOUT_S)
    except subprocess.TimeoutExpired:
        chain.faults.append(f"the command did not end within {TIMEOUT_S:.0f} s")
        return -1
    words = chain.last_words()
    if last_kill is not None:
        last_kill["exit_code"] = code
    if code and last_kill is None:
        chain.faults.append(f"ended with exit code {code} although nothing was killed: {words[-500:]}")
    if "Traceback" in words:
        chain.faults.append(f"printed a traceback: {words[-2000:]}")
    if code > 0 and chain.folder.run_toml.exists() != ("kdtune resume" in words):
        chain.faults.append(f"did not print the right command to continue: {words[-500:]}")
    return code


def told(chain: Chain) -> str:
    """Return a description of a chain's kills and faults; after a fault, with the command that repeats the chain."""
    what = "; ".join(f"{one['drawn']} at {one['at_s']} s ({one['phase']})" for one in chain.kills)
    lines = [f"seed {chain.seed}, {'warm' if chain.warm else 'cold'} cache: {what or 'no kill in time'}"]
    lines += [f"  {fault}" for fault in chain.faults]
    if chain.faults:
        lines.append(f"  to repeat: python -m benchmarks torture --seed {chain.seed} --kills 1; files: {chain.place}")
    return "\n".join(lines)
