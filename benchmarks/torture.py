"""Kills at random moments, drawn from seeds: nothing is lost, and what comes out is the undisturbed study bit for bit.

    python -m benchmarks torture                     # seeds 0, 1, ... until 100 kills have struck
    python -m benchmarks torture --seed 7 --kills 1  # one seed again

A seed makes a chain: a small study (a random and an adaptive strategy) with a warm cache or an empty one, killed up to
four times on its way to the end: in the command, and in the resumes. What is killed and when is drawn; moments lie
evenly over the time that an undisturbed command takes, so every phase is hit. Between kills the study is taken up again
as the files and the last words of the command tell. A chain that loses anything keeps its folder.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

from benchmarks.driving import TIMEOUT_S, begin, kill, of_session, wait_until_gone
from benchmarks.record import keep
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
#: A command with one of these killed cannot come to its end.
FATAL = {"driver", "group", "all"}
MOST_KILLS = 4

#: So long Ray's other processes may outlive the command, in seconds, and so long its agents.
PATIENCE_S = 30.0
AGENTS_PATIENCE_S = 120.0


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
        kills: In their order.
        killed: When which command was killed, on this process's clock.
        commands: How many it took.
        faults: What was lost, or went wrong otherwise.
    """

    seed: int
    place: Path
    cache: Path
    warm: bool
    kills: list[dict[str, Any]] = field(default_factory=list)
    killed: dict[int, float] = field(default_factory=dict)
    commands: int = 0
    faults: list[str] = field(default_factory=list)

    @property
    def folder(self) -> StudyFolder:
        """The study's."""
        return StudyFolder(self.place / "results" / NAME)

    def begin(self) -> subprocess.Popen[bytes]:
        """Begin the study, or go on with it where the last command came so far that it can be resumed."""
        self.commands += 1
        arguments = ["resume", f"results/{NAME}", "--quiet"] if self.folder.run_toml.exists() else STUDY
        return begin(arguments, self.place, **surroundings(self.cache, self.place))

    def last_words(self) -> str:
        """What the last command said."""
        return (self.place / "said.txt").read_text(errors="replace").strip()


def surroundings(cache: Path, place: Path) -> dict[str, str]:
    """Environment of a command: its cache, and a place for what is only for the moment."""
    (place / "tmp").mkdir(exist_ok=True)
    return {"KDTUNE_CACHE_DIR": str(cache), "TMPDIR": str(place / "tmp"), "RAY_TMPDIR": str(place / "tmp")}


def undisturbed(root: Path, cache: Path) -> Undisturbed:
    """Run the study twice without a kill, first with an empty cache; the same has to come out."""
    outcomes, times = [], []
    for name in ("cold", "warm"):
        place = root / name
        place.mkdir()
        began_s = time.perf_counter()
        process = begin(STUDY, place, **surroundings(cache, place))
        if process.wait(timeout=TIMEOUT_S):
            sys.exit(f"the undisturbed study ended with {process.returncode}:\n{(place / 'said.txt').read_text()}")
        times.append(time.perf_counter() - began_s)
        outcomes.append(outcome_of(StudyFolder(place / "results" / NAME)))
    if faults := outcomes[0].differing(outcomes[1]):
        sys.exit(f"two undisturbed studies differ: {'; '.join(faults)}")
    return Undisturbed(outcomes[0], *times)


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


def one_chain(seed: int, place: Path, shared_cache: Path, expected: Undisturbed, kills: int | None = None) -> Chain:
    """Kill a study as its seed has it until it has come to its end, and look for what is lost.

    Args:
        seed: Everything is drawn from it.
        place: An empty folder.
        shared_cache: Holds teacher and logits already; what a warm chain uses.
        expected: The study without a kill.
        kills: How many; drawn without it.
    """
    rng = Random(seed)
    warm = rng.random() < 0.5
    chain = Chain(seed, place, shared_cache if warm else place / "cache", warm)
    left = rng.randint(1, MOST_KILLS) if kills is None else kills
    process = chain.begin()
    try:
        while True:
            whole_s = expected.warm_s if warm or chain.commands > 1 else expected.cold_s
            struck = None
            began_s = time.monotonic()
            at_s = 0.0
            while left and process.poll() is None:  # several in one command, where it survives
                roles = rng.choices(list(VICTIMS), list(VICTIMS.values()))[0]
                at_s = rng.uniform(at_s, whole_s)
                try:
                    process.wait(timeout=max(0.0, began_s + at_s - time.monotonic()))
                    break  # it came to its end before
                except subprocess.TimeoutExpired:
                    left -= 1
                    struck = strike(chain, process, roles, at_s, at_s / whole_s, rng)
                if struck["fatal"]:
                    break
            ended = _end_of(chain, process, struck)
            if ended == 0 or chain.faults:
                break
            process = chain.begin()
        if not chain.faults:
            chain.faults += unsound(chain.folder, chain.cache)
            chain.faults += expected.outcome.differing(outcome_of(chain.folder))
            for one in chain.kills:
                chain.faults += lost(chain.folder, chain.cache, one["books"])
                chain.faults += untold(chain.folder, chain.cache, one["left_open"])
    except Exception as error:  # whatever it is, it is this seed's
        chain.faults.append(f"{type(error).__name__}: {error}")
    finally:
        if chain.faults:
            kill(list(of_session(process.pid)))
    return chain


def strike(
    chain: Chain, process: subprocess.Popen[bytes], roles: tuple[str, ...], at_s: float, moment: float, rng: Random
) -> dict[str, Any]:
    """Kill what is to be killed now; where the command goes down with it, wait (or not) until nothing of it is left."""
    found = victims(process, roles, rng)
    phase, books = phase_of(chain.folder, chain.cache), Books.of(chain.folder, chain.cache)
    kill(list(found))
    fatal = process.pid in found
    one: dict[str, Any] = {
        "drawn": "+".join(roles),
        "killed": dict(Counter(found.values())),
        "at_s": round(at_s, 2),
        "of_the_whole": round(moment, 3),
        "phase": phase,
        "before_uj": books.spent_uj,
        "books": books,
        "left_open": set(),
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
            one["left_open"] = Books.of(chain.folder, chain.cache).unended
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


def bury(killed: dict[int, float]) -> dict[str, int]:
    """Wait for the last processes of commands that were killed; returns those that would have stayed."""
    stayed: Counter[str] = Counter()
    for session, since_s in killed.items():
        while (left := of_session(session)) and time.monotonic() - since_s < AGENTS_PATIENCE_S:
            time.sleep(0.5)
        stayed.update(left.values())
        kill(list(left))
    return dict(stayed)


def summary(chains: list[Chain], expected: Undisturbed, stayed: dict[str, int]) -> dict[str, Any]:
    """The figures."""
    kills = [one for chain in chains for one in chain.kills]
    waited = [one["gone_after_s"] for one in kills if "gone_after_s" in one]
    return {
        "kills": len(kills),
        "chains": len(chains),
        "survived": sum(len(chain.kills) for chain in chains if not chain.faults),
        "undisturbed_s": {"cold": expected.cold_s, "warm": expected.warm_s},
        "by_phase": dict(Counter(one["phase"] for one in kills)),
        "by_victims": dict(Counter(one["drawn"] for one in kills)),
        "orphans": {"looked": len(waited), "gone_after_s": max(waited, default=None), "stayed": stayed},
        "failures": [{"seed": chain.seed, "faults": chain.faults} for chain in chains if chain.faults],
        "seeds": [as_row(chain) for chain in chains],
    }


def as_row(chain: Chain) -> dict[str, Any]:
    """A chain as it stands in the results."""
    kept = [{key: value for key, value in one.items() if key not in ("books", "left_open")} for one in chain.kills]
    after_uj = Books.of(chain.folder, chain.cache).spent_uj if chain.folder.path.exists() else None
    return {
        "seed": chain.seed,
        "cache": "warm" if chain.warm else "cold",
        "commands": chain.commands,
        "after_uj": after_uj,
        "kills": kept,
        "survived": not chain.faults,
    }


def run(arguments: list[str]) -> None:
    """Chains until enough kills have struck."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks torture")
    parser.add_argument("--seed", type=int, default=0, help="the first seed (default 0); one more for each chain")
    parser.add_argument(
        "--kills", type=int, default=100, help="stop after so many, at the end of a chain (default 100)"
    )
    given = parser.parse_args(arguments)
    root = Path(tempfile.mkdtemp(prefix="torture-"))
    cache = root / "cache"
    expected = undisturbed(root, cache)
    print(f"undisturbed: {expected.cold_s:.1f} s, with a warm cache {expected.warm_s:.1f} s", flush=True)
    chains: list[Chain] = []
    while sum(len(chain.kills) for chain in chains) < given.kills:
        seed = given.seed + len(chains)
        place = root / f"seed-{seed}"
        place.mkdir()
        chain = one_chain(seed, place, cache, expected)
        chains.append(chain)
        _tell(chain)
        if not chain.faults:
            shutil.rmtree(place, ignore_errors=True)
    killed = {session: since_s for chain in chains for session, since_s in chain.killed.items()}
    results = summary(chains, expected, bury(killed))
    failed = bool(results["failures"] or results["orphans"]["stayed"])
    if not failed:
        shutil.rmtree(root, ignore_errors=True)
    keep("torture", f"python -m benchmarks torture --seed {given.seed} --kills {given.kills}", results)
    if failed:
        sys.exit(f"{results['kills'] - results['survived']} of {results['kills']} kills were not survived")


def _tell(chain: Chain) -> None:
    what = "; ".join(f"{one['drawn']} at {one['at_s']} s ({one['phase']})" for one in chain.kills)
    print(f"seed {chain.seed}, {'warm' if chain.warm else 'cold'} cache: {what or 'no kill in time'}", flush=True)
    for fault in chain.faults:
        print(f"  {fault}", flush=True)
    if chain.faults:
        print(f"  again: python -m benchmarks torture --seed {chain.seed} --kills 1; kept: {chain.place}", flush=True)
