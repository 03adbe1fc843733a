"""One seed's chain: a small study that is killed again and again on its way to the end, and what became of it."""

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

from benchmarks.driving import TIMEOUT_S, begin, kill, of_session, wait_until_gone
from benchmarks.survival import Books, Outcome, lost, outcome_of, phase_of, unsound, untold
from kdtune.results.folder import StudyFolder

NAME = "digits-hkd"
STUDY = ["study", NAME, "-s", "random", "-s", "optuna", "--repeats", "1", "--epochs", "40"]
STUDY += [word for option in ("random.trials=2", "optuna.trials=4") for word in ("--set", f"strategies.{option}")]
STUDY += ["--set", "strategies.optuna.startup_trials=2", "--set", "teacher_training.epochs=10"]
STUDY += ["--set", "teacher_training.milestones=[5, 8]", "--quiet"]

#: What is killed together, and how often beside the others. ``group`` is the command's process group (Ray's workers
#: have their own), ``all`` is the command with everything that it started.
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
MOST_KILLS = 8

#: So long Ray's other processes, but for its agents, may outlive the command, in seconds.
PATIENCE_S = 60.0


@dataclass
class Undisturbed:
    """The study without a kill.

    Attributes:
        outcome: What it came to.
        cold_s: Seconds that it took with an empty cache.
        warm_s: With teacher and logits in the cache.
    """

    outcome: Outcome
    cold_s: float
    warm_s: float


@dataclass
class Chain:
    """One seed's kills, and what became of the study.

    Attributes:
        seed: What it was drawn from.
        place: Its folder.
        cache: With teacher and logits.
        warm: Whether they were there at first.
        more: Arguments of the command that begins the study, such as ``--inline``.
        kills: In their order.
        killed: When which command was killed, on this process's clock.
        commands: How many it took.
        began_s: When the last of them began, in seconds since 1970.
        after_uj: What it was charged in the end.
        faults: What was lost, or went wrong otherwise.
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
        """The study's."""
        return StudyFolder(self.place / "results" / NAME)

    def begin(self, environment: dict[str, str]) -> subprocess.Popen[bytes]:
        """Begin the study, or go on with it where the last command came so far that it can be resumed.

        Args:
            environment: See :func:`surroundings`.
        """
        self.commands += 1
        self.began_s = time.time()
        resume = ["resume", f"results/{NAME}", "--quiet"]
        arguments = resume if self.folder.run_toml.exists() else [*STUDY, *self.more]
        return begin(arguments, self.place, **environment)

    def last_words(self) -> str:
        """What the last command said."""
        return (self.place / "said.txt").read_text(errors="replace").strip()


@contextmanager
def surroundings(cache: Path) -> Iterator[dict[str, str]]:
    """Environment of commands: their cache, and a place for what is only for the moment, which goes away again.

    Args:
        cache: For teacher and logits.
    """
    # Ray's sockets lie in it, whose paths must not be long.
    with tempfile.TemporaryDirectory(prefix="kdtune-", dir="/tmp", ignore_cleanup_errors=True) as short:
        yield {"KDTUNE_CACHE_DIR": str(cache), "TMPDIR": short, "RAY_TMPDIR": short}


def once(place: Path, cache: Path, *more: str) -> tuple[Outcome, float]:
    """Run the study without a kill: what it came to, and seconds.

    Args:
        place: An empty folder.
        cache: For teacher and logits.
        more: Arguments of the command.
    """
    began_s = time.perf_counter()
    with surroundings(cache) as environment:
        code = begin([*STUDY, *more], place, **environment).wait(timeout=TIMEOUT_S)
    if code:
        sys.exit(f"the undisturbed study ended with {code}:\n{(place / 'said.txt').read_text()}")
    return outcome_of(StudyFolder(place / "results" / NAME)), time.perf_counter() - began_s


def victims(process: subprocess.Popen[bytes], roles: tuple[str, ...], rng: Random) -> dict[int, str]:
    """The processes to kill, with what they are; the command itself where none of the roles is there."""
    there = of_session(process.pid)
    workers = sorted(pid for pid, line in there.items() if line.startswith("ray::") and "Agent" not in line)
    meters = [pid for pid in workers if "NodeMeter" in there[pid]]
    at_work = [pid for pid in workers if pid not in meters and "IDLE" not in there[pid]]
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
                found += [pid for pid in there if _group_of(pid) == process.pid]
            case "all":
                found += there
            case daemon:
                found += [pid for pid, line in there.items() if line.split(" ")[0].endswith(f"/{daemon}")]
    return {pid: _shown(there.get(pid, "")) for pid in found or [process.pid]}


def _group_of(pid: int) -> int:
    try:
        return os.getpgid(pid)
    except ProcessLookupError:
        return 0


def _shown(line: str) -> str:
    """A process as it stands in the results."""
    words = line.split(" ")
    return "driver" if "-m kdtune" in line else words[0] if words[0].startswith("ray::") else Path(words[0]).name


def one_chain(
    seed: int,
    place: Path,
    shared_cache: Path,
    expected: Undisturbed,
    kills: int = MOST_KILLS,
    more: tuple[str, ...] = (),
) -> Chain:
    """Kill a study as its seed has it until it has come to its end, and look for what is lost.

    Args:
        seed: Everything is drawn from it.
        place: An empty folder.
        shared_cache: Holds teacher and logits already; what a warm chain uses.
        expected: The study without a kill.
        kills: How many at most.
        more: Arguments of the command that begins the study.
    """
    rng = Random(seed)
    warm = rng.random() < 0.5
    chain = Chain(seed, place, shared_cache if warm else place / "cache", warm, more)
    left = min(rng.randint(1, MOST_KILLS), kills)
    process, code = None, None
    try:
        with surroundings(chain.cache) as environment:
            while code != 0 and not chain.faults:
                process = chain.begin(environment)
                whole_s = expected.warm_s if warm or chain.commands > 1 else expected.cold_s
                struck = _kill_now_and_then(chain, process, whole_s, left - len(chain.kills), rng)
                code = _end_of(chain, process, struck)
        if not chain.faults:
            chain.after_uj = Books.of(chain.folder, chain.cache).spent_uj
            chain.faults += unsound(chain.folder, chain.cache)
            chain.faults += expected.outcome.differing(outcome_of(chain.folder))
            for one in chain.kills:
                chain.faults += lost(chain.folder, chain.cache, one["books"])
                chain.faults += untold(chain.folder, chain.cache, one["books"]) if one["fatal"] else []
    except Exception as error:  # whatever it is, it is this seed's
        chain.faults.append(f"{type(error).__name__}: {error}")
    finally:
        if process and code != 0:
            kill(list(of_session(process.pid)))
    return chain


def _kill_now_and_then(
    chain: Chain, process: subprocess.Popen[bytes], whole_s: float, left: int, rng: Random
) -> dict[str, Any] | None:
    """Kill what belongs to a command, several times if it survives, until it has ended; returns the last kill."""
    began_s, at_s, struck = time.monotonic(), rng.uniform(0.0, whole_s), None
    for _ in range(left):
        roles = rng.choices(list(VICTIMS), list(VICTIMS.values()))[0]
        try:
            process.wait(timeout=max(0.0, began_s + at_s - time.monotonic()))
            break  # it came to its end before
        except subprocess.TimeoutExpired:
            struck = strike(chain, process, roles, at_s, whole_s, rng)
        if struck["fatal"]:
            break
        at_s += rng.uniform(0.0, whole_s / 2)
    return struck


def strike(
    chain: Chain, process: subprocess.Popen[bytes], roles: tuple[str, ...], at_s: float, whole_s: float, rng: Random
) -> dict[str, Any]:
    """Kill what is to be killed now; where the command goes down with it, wait (or not) until nothing of it is left."""
    found = victims(process, roles, rng)
    phase, books = phase_of(chain.folder, chain.cache, chain.began_s), Books.of(chain.folder, chain.cache)
    kill(list(found))
    fatal = process.pid in found
    one: dict[str, Any] = {
        "drawn": "+".join(roles),
        "killed": dict(Counter(found.values())),
        "at_s": round(at_s, 2),
        "of_the_whole": round(at_s / whole_s, 3),
        "phase": phase,
        "before_uj": books.spent_uj,
        "books": books,
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


def _end_of(chain: Chain, process: subprocess.Popen[bytes], struck: dict[str, Any] | None) -> int:
    """Wait for a command's end; what it should not have ended with is a fault."""
    try:
        code = process.wait(timeout=TIMEOUT_S)
    except subprocess.TimeoutExpired:
        chain.faults.append(f"hangs: it did not end within {TIMEOUT_S:.0f} s")
        return -1
    words = chain.last_words()
    if struck is not None:
        struck["exit_code"] = code
    if code and struck is None:
        chain.faults.append(f"ended with {code} though nothing was killed: {words[-500:]}")
    if "Traceback" in words:
        chain.faults.append(f"a traceback: {words[-2000:]}")
    if code > 0 and chain.folder.run_toml.exists() != ("kdtune resume" in words):
        chain.faults.append(f"does not tell how to go on: {words[-500:]}")
    return code


def told(chain: Chain) -> str:
    """What was killed and what was lost, with the line that repeats it."""
    what = "; ".join(f"{one['drawn']} at {one['at_s']} s ({one['phase']})" for one in chain.kills)
    lines = [f"seed {chain.seed}, {'warm' if chain.warm else 'cold'} cache: {what or 'no kill in time'}"]
    lines += [f"  {fault}" for fault in chain.faults]
    if chain.faults:
        lines.append(f"  again: python -m benchmarks torture --seed {chain.seed} --kills 1; kept: {chain.place}")
    return "\n".join(lines)
