"""Kills at random moments, drawn from seeds: nothing is lost, and what comes out is the undisturbed study bit for bit.

    python -m benchmarks torture                     # seeds 0, 1, ... until 100 kills have struck
    python -m benchmarks torture --seed 7 --kills 1  # one seed again

A seed makes a chain: a small study (a random and an adaptive strategy) with a warm cache or an empty one, killed up to
eight times on its way to the end: in the command, and in the resumes. What is killed and when is drawn; moments lie
evenly over the time that an undisturbed command takes, so every phase is hit. Between kills the study is taken up again
as the files and the last words of the command tell. A chain that loses anything keeps its folder.
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
from benchmarks.driving import kill, of_session
from benchmarks.record import RESULTS, keep

#: So long Ray's agents may outlive a command that was killed, in seconds.
AGENTS_PATIENCE_S = 120.0


def undisturbed(root: Path, cache: Path) -> Undisturbed:
    """Run the study twice without a kill, first with an empty cache; the same has to come out."""
    for name in ("cold", "warm"):
        (root / name).mkdir()
    (outcome, cold_s), (again, warm_s) = (once(root / name, cache) for name in ("cold", "warm"))
    if faults := outcome.differing(again):
        sys.exit(f"two undisturbed studies differ: {'; '.join(faults)}")
    return Undisturbed(outcome, cold_s, warm_s)


def bury(chain: Chain) -> dict[str, int]:
    """Wait for the last processes of commands that were killed; returns those that would have stayed."""
    stayed: Counter[str] = Counter()
    for session, since_s in chain.killed.items():
        while (left := of_session(session)) and time.monotonic() - since_s < AGENTS_PATIENCE_S:
            time.sleep(0.5)
        stayed.update(left.values())
        kill(list(left))
    return dict(stayed)


def as_row(chain: Chain) -> dict[str, Any]:
    """A chain as it stands in the results."""
    return {
        "seed": chain.seed,
        "cache": "warm" if chain.warm else "cold",
        "commands": chain.commands,
        "after_uj": chain.after_uj,
        "kills": [{key: value for key, value in one.items() if key != "books"} for one in chain.kills],
        "stayed": bury(chain),
        "faults": chain.faults,
    }


def summary(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """The figures of all chains."""
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
    """Chains until enough kills have struck."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks torture")
    parser.add_argument("--seed", type=int, default=0, help="the first seed (default 0); one more for each chain")
    parser.add_argument("--kills", type=int, default=100, help="no more chains after so many kills (default 100)")
    parser.add_argument("--minutes", type=float, default=60.0, help="no more chains after so long (default 60)")
    parser.add_argument("--add", action="store_true", help="add to the results that there are")
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
    keep("torture", "python -m benchmarks torture", {**summary(rows), "undisturbed": runs, "seeds": rows})
    if lost_one:
        sys.exit("not every kill was survived")
