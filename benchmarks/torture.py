"""Studies that are killed at random moments must lose nothing, and must give the undisturbed result bit for bit.

    python -m benchmarks torture                     # seeds 0, 1, ... until there were 100 kills
    python -m benchmarks torture --seed 7 --kills 1  # repeats one seed

Each seed gives a chain: a small study (a random and an adaptive strategy) with a warm or an empty cache is killed up to
eight times, in its first command and in the commands that resume it. The victims and the moments are random; moments
are distributed evenly over the duration of an undisturbed command, so that every phase is hit. After a kill the study
is continued with the command that its files call for. The folder of a chain with faults is kept.
"""

import argparse
import json
import shutil
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

from benchmarks.chain import Chain, Undisturbed, once, one_chain, told
from benchmarks.driving import kill, session_processes
from benchmarks.record import RESULTS, save

#: Time in seconds for which Ray's agents may outlive a command that was killed.
AGENTS_PATIENCE_S = 120.0


def undisturbed(root: Path, cache: Path) -> Undisturbed:
    """Run the study twice without kills, first with an empty cache, and check that both outcomes are the same."""
    for name in ("cold", "warm"):
        (root / name).mkdir()
    (outcome, cold_s), (again, warm_s) = (once(root / name, cache) for name in ("cold", "warm"))
    if faults := outcome.differing(again):
        sys.exit(f"two undisturbed studies differ: {'; '.join(faults)}")
    return Undisturbed(outcome, cold_s, warm_s)


def remove_remaining_processes(chain: Chain) -> dict[str, int]:
    """Wait for the last processes of killed commands, and kill those that do not end.

    Returns:
        How many processes had to be killed, by command line.
    """
    stayed: Counter[str] = Counter()
    for session, since_s in chain.killed.items():
        while (left := session_processes(session)) and time.monotonic() - since_s < AGENTS_PATIENCE_S:
            time.sleep(0.5)
        stayed.update(left.values())
        kill(list(left))
    return dict(stayed)


def as_row(chain: Chain) -> dict[str, Any]:
    """Return the JSON object that describes a chain in the results."""
    return {
        "seed": chain.seed,
        "cache": "warm" if chain.warm else "cold",
        "commands": chain.commands,
        "after_uj": chain.after_uj,
        "kills": [{key: value for key, value in one.items() if key != "charges"} for one in chain.kills],
        "stayed": remove_remaining_processes(chain),
        "faults": chain.faults,
    }


def summary(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Return figures over all chains."""
    kills = [one for row in rows for one in row["kills"]]
    waited = [one["gone_after_s"] for one in kills if "gone_after_s" in one]
    return {
        "kills": len(kills),
        "survived": sum(len(row["kills"]) for row in rows if not row["faults"]),
        "chains": len(rows),
        "by_phase": dict(Counter(one["phase"] for one in kills).most_common()),
        "by_victims": dict(Counter(one["drawn"] for one in kills).most_common()),
        "workers_gone_after_s": {"times_looked": len(waited), "most": max(waited, default=None)},
        "processes_that_stayed": sum(sum(row["stayed"].values()) for row in rows),
        "failed_seeds": [row["seed"] for row in rows if row["faults"]],
    }


def run(arguments: list[str]) -> None:
    """Run chains until there were enough kills, and save the results."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks torture")
    parser.add_argument("--seed", type=int, default=0, help="first seed (default 0); each chain uses the next one")
    parser.add_argument("--kills", type=int, default=100, help="number of kills after which to stop (default 100)")
    parser.add_argument("--minutes", type=float, default=60.0, help="minutes after which to stop (default 60)")
    parser.add_argument("--add", action="store_true", help="add to the existing results")
    given = parser.parse_args(arguments)
    began_s = time.monotonic()
    root = Path(tempfile.mkdtemp(prefix="torture-"))
    cache = root / "cache"
    expected = undisturbed(root, cache)
    print(f"undisturbed: {expected.cold_s:.1f} s, with a warm cache {expected.warm_s:.1f} s", flush=True)
    chains: list[Chain] = []
    while sum(len(chain.kills) for chain in chains) < given.kills and time.monotonic() - began_s < 60 * given.minutes:
        seed = given.seed + len(chains)
        place = root / f"seed-{seed}"
        place.mkdir()
        chain = one_chain(seed, place, cache, expected)
        chains.append(chain)
        print(told(chain), flush=True)
        if not chain.faults:
            shutil.rmtree(place, ignore_errors=True)
    rows = [as_row(chain) for chain in chains]
    lost_one = any(row["faults"] or row["stayed"] for row in rows)
    if not lost_one:
        shutil.rmtree(root, ignore_errors=True)
    runs = [{"seeds": [row["seed"] for row in rows], "cold_s": expected.cold_s, "warm_s": expected.warm_s}]
    if given.add and (kept := RESULTS / "torture.json").exists():
        before = json.loads(kept.read_text())["results"]
        rows, runs = before["seeds"] + rows, before["undisturbed"] + runs
    save("torture", "python -m benchmarks torture", {**summary(rows), "undisturbed": runs, "seeds": rows})
    if lost_one:
        sys.exit("some chains had faults, or left processes behind")
