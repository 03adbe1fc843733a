"""What of a study has to survive any kill, and whether it has: looked up in the files that a chain of kills left."""

import json
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.driving import found_in
from kdtune.energy.attribution import Account
from kdtune.energy.ledger import Record, read_folder
from kdtune.energy.several_nodes import charge_all
from kdtune.results.energy_spent import spent_uj
from kdtune.results.folder import StudyFolder
from kdtune.results.trial_log import TrialLog

#: Flags of a ledger of which one has to say that nobody metered for a while, or that it has no end.
TOLD = {"gap", "rebooted", "unended"}


@dataclass(frozen=True)
class Outcome:
    """What a study came to, by strategy: all of it is the same whatever was killed on the way.

    Attributes:
        found: What was chosen, and how good it is; see :func:`benchmarks.driving.found_in`.
        trials: The trials that are completed, with their validation accuracy and loss.
        predictions: Of the chosen models, on the test images.
        weights: Of the chosen models.
    """

    found: dict[str, dict[str, Any]]
    trials: dict[str, dict[str, tuple[float, float]]]
    predictions: dict[str, dict[str, np.ndarray]]
    weights: dict[str, dict[str, torch.Tensor]]

    def differing(self, other: "Outcome") -> list[str]:
        """What is not the same bit for bit in another outcome."""
        faults = [f"{name}: {what} differ" for what in ("found", "trials") for name in self._differing(other, what)]
        for what in ("predictions", "weights"):
            ours, theirs = getattr(self, what), getattr(other, what)
            for name in ours.keys() | theirs.keys():
                mine, its = ours.get(name, {}), theirs.get(name, {})
                if mine.keys() != its.keys() or not all(_same_bits(mine[key], its[key]) for key in mine):
                    faults.append(f"{name}: {what} differ")
        return sorted(faults)

    def _differing(self, other: "Outcome", what: str) -> list[str]:
        ours, theirs = getattr(self, what), getattr(other, what)
        return [name for name in ours.keys() | theirs.keys() if ours.get(name) != theirs.get(name)]


def _same_bits(one: Any, other: Any) -> bool:
    one, other = np.asarray(one), np.asarray(other)
    return one.dtype == other.dtype and one.shape == other.shape and one.tobytes() == other.tobytes()


def outcome_of(folder: StudyFolder) -> Outcome:
    """What the study in a folder came to."""
    outcome = Outcome({}, {}, {}, {})
    for strategy in folder.strategies():
        name = strategy.path.name
        outcome.found[name] = found_in(strategy.result)
        outcome.trials[name] = {
            line["trial_id"]: (line["val_accuracy"], line["val_loss"]) for line in completed(strategy)
        }
        with np.load(strategy.predictions, allow_pickle=False) as kept:
            outcome.predictions[name] = dict(kept)
        outcome.weights[name] = torch.load(strategy.path / "student.pt", weights_only=True)
    return outcome


def completed(strategy: Any) -> list[dict[str, Any]]:
    """The lines of a trial log with which trials were completed."""
    lines = [json.loads(line) for line in strategy.trials.read_text().splitlines()]
    return [line for line in lines if line["type"] == "end" and line["status"] == "completed"]


def ledgers_of(folder: StudyFolder, cache: Path) -> dict[Path, Account]:
    """Every ledger that a study has written to, with its account: strategies, sessions, and what lies in the cache."""
    folders = [strategy.ledger for strategy in folder.strategies()]
    folders += [path for path in folder.session("").glob("*") if path.is_dir()]
    kinds = ("teachers", "teacher-logits", "compilations")
    folders += [path for kind in kinds for path in cache.glob(f"{kind}/*/ledger")]
    return {path: charge_all(records) for path in folders if (records := read_folder(path))}


@dataclass(frozen=True)
class Books:
    """What was charged at one moment.

    Attributes:
        spent_uj: By the whole study, as a budget counts it.
        charged_uj: By each ledger.
        unended: The meter that writes to each ledger which has no end yet.
    """

    spent_uj: int
    charged_uj: dict[Path, int]
    unended: dict[Path, str]

    @classmethod
    def of(cls, folder: StudyFolder, cache: Path) -> "Books":
        """The books of a study as they stand now."""
        accounts = ledgers_of(folder, cache)
        return cls(
            spent_uj(folder, dedicated=True),
            {path: account.charged_uj() for path, account in accounts.items()},
            {path: _last(path).meter for path, account in accounts.items() if "unended" in account.flags},
        )


def lost(folder: StudyFolder, cache: Path, before: Books) -> list[str]:
    """What a study has lost of the energy that it was charged before a kill.

    Args:
        folder: The study's.
        cache: Where its teacher lies.
        before: Read before the kill.
    """
    now, faults = Books.of(folder, cache), []
    if now.spent_uj < before.spent_uj:
        faults.append(f"charged {now.spent_uj} uJ, {before.spent_uj} before the kill")
    for path, charged_uj in before.charged_uj.items():
        if now.charged_uj.get(path, -1) < charged_uj:
            faults.append(f"{path}: charged {now.charged_uj.get(path)} uJ, {charged_uj} before the kill")
    return faults


def _last(ledger: Path) -> Record:
    return next(iter(read_folder(ledger).values()))[-1]


def untold(folder: StudyFolder, cache: Path, before: Books) -> list[str]:
    """Ledgers that a command was killed over, and whose account does not say so.

    Args:
        folder: The study's.
        cache: Where its teacher lies.
        before: Read before the kill.
    """
    accounts, faults = ledgers_of(folder, cache), []
    for path, meter in before.unended.items():
        records = next(iter(read_folder(path).values()))
        own = max(place for place, record in enumerate(records) if record.meter == meter)
        ended = [record.kind for record in records[own : own + 2]][-1] == "stop"  # just in time
        if not ended and not accounts[path].flags.keys() & TOLD:
            faults.append(f"{path}: nothing tells of the kill")
    return faults


def unsound(folder: StudyFolder, cache: Path) -> list[str]:
    """What is wrong with the books and the trials of a study that has come to its end."""
    faults = [
        f"{path}: the buckets sum to {sum(account.buckets.values())} uJ, the node used {account.node_uj}"
        for path, account in ledgers_of(folder, cache).items()
        if sum(account.buckets.values()) != account.node_uj
    ]
    for strategy in folder.strategies():
        name = strategy.path.name
        again = [
            trial for trial, times in Counter(line["trial_id"] for line in completed(strategy)).items() if times > 1
        ]
        faults += [f"{name}: trial {trial} was completed and run again" for trial in again]
        energy = json.loads(strategy.result.read_text())["cost"]["energy_uj"]
        node_total = energy.pop("node_total")
        if sum(energy.values()) != node_total:
            faults.append(f"{name}: result.json's buckets sum to {sum(energy.values())} uJ of {node_total}")
        if left := sorted(path.name for path in strategy.path.glob("checkpoints/*")):
            faults.append(f"{name}: checkpoints of {', '.join(left)} were left behind")
    return faults


def phase_of(folder: StudyFolder, cache: Path, began_s: float) -> str:
    """What a command is at, as far as the files tell.

    Args:
        folder: The study's.
        cache: Where its teacher lies.
        began_s: When the command began, in seconds since 1970; what is older was written by others.
    """
    if not _is_new(folder.run_toml, began_s):
        return "set-up"
    if not any(cache.glob("teachers/*/record.json")):
        return "teacher"
    at_work = [strategy for strategy in folder.strategies() if _is_new(strategy.trials, began_s)]
    if not at_work:
        return "logits"
    log = TrialLog.read(max((strategy.trials for strategy in at_work), key=lambda path: path.stat().st_mtime))
    if log.status == "completed":
        every = [TrialLog.read(folder.strategy(name).trials) for name in folder.asked_strategies()]
        return "shutdown" if all(one.status == "completed" for one in every) else "between strategies"
    if log.evaluations:
        return "results"
    return "evaluation" if log.evaluation_attempts else "trials"


def _is_new(path: Path, began_s: float) -> bool:
    return path.exists() and path.stat().st_mtime >= began_s
