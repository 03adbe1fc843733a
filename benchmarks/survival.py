"""Checks that a study has lost nothing after kills: its results, its charged energy, and the flags of its ledgers.

They read the files that a chain of kills (:mod:`benchmarks.chain`) leaves.
"""

import json
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.driving import reproducible_result
from kdtune.energy.attribution import Account
from kdtune.energy.ledger import Record, read_folder
from kdtune.energy.several_nodes import account_of_nodes
from kdtune.results.energy_spent import spent_uj
from kdtune.results.folder import StudyFolder
from kdtune.results.trial_log import TrialLog

#: Flags of which a ledger must have one if its meter was killed and not restarted at once.
KILL_FLAGS = {"gap", "rebooted", "unended"}


@dataclass(frozen=True)
class Outcome:
    """Results of a study, by strategy, which do not depend on kills.

    Attributes:
        found: Choices and accuracies; see :func:`benchmarks.driving.reproducible_result`.
        trials: Validation accuracy and loss of each completed trial, by its id.
        predictions: Predictions of the chosen models on the test images.
        weights: Weights of the first repeat's chosen model.
    """

    found: dict[str, dict[str, Any]]
    trials: dict[str, dict[str, tuple[float, float]]]
    predictions: dict[str, dict[str, np.ndarray]]
    weights: dict[str, dict[str, torch.Tensor]]

    def differing(self, other: "Outcome") -> list[str]:
        """Return descriptions of all differences, down to single bits, from another outcome."""
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
    """Return the outcome of the study in a folder."""
    outcome = Outcome({}, {}, {}, {})
    for strategy in folder.strategies():
        name = strategy.path.name
        outcome.found[name] = reproducible_result(strategy.result)
        outcome.trials[name] = {
            line["trial_id"]: (line["val_accuracy"], line["val_loss"]) for line in completed(strategy)
        }
        with np.load(strategy.predictions, allow_pickle=False) as kept:
            outcome.predictions[name] = dict(kept)
        outcome.weights[name] = torch.load(strategy.path / "student.pt", weights_only=True)
    return outcome


def completed(strategy: Any) -> list[dict[str, Any]]:
    """Return the lines of a strategy's trial log that record the completion of a trial."""
    lines = [json.loads(line) for line in strategy.trials.read_text().splitlines()]
    return [line for line in lines if line["type"] == "end" and line["status"] == "completed"]


def ledgers_of(folder: StudyFolder, cache: Path) -> dict[Path, Account]:
    """Return the account of every ledger of a study, by folder: those of strategies, sessions and cached artifacts."""
    folders = [strategy.ledger for strategy in folder.strategies()]
    folders += [path for path in folder.session("").glob("*") if path.is_dir()]
    kinds = ("teachers", "teacher-logits", "compilations")
    folders += [path for kind in kinds for path in cache.glob(f"{kind}/*/ledger")]
    return {path: account_of_nodes(records) for path in folders if (records := read_folder(path))}


@dataclass(frozen=True)
class Charges:
    """Charged energy of a study at one moment.

    Attributes:
        spent_uj: Energy of the whole study as a budget counts it, in microjoules.
        charged_uj: Charged energy of each ledger in microjoules, by folder.
        unended: Id of the last meter of each ledger that has not ended, by folder.
    """

    spent_uj: int
    charged_uj: dict[Path, int]
    unended: dict[Path, str]

    @classmethod
    def of(cls, folder: StudyFolder, cache: Path) -> "Charges":
        """Return the current charges of a study."""
        accounts = ledgers_of(folder, cache)
        return cls(
            spent_uj(folder, dedicated=True),
            {path: account.charged_uj() for path, account in accounts.items()},
            {path: _last(path).meter for path, account in accounts.items() if "unended" in account.flags},
        )


def lost_energy(folder: StudyFolder, cache: Path, before: Charges) -> list[str]:
    """Return a fault for each charge of a study that is lower than before a kill.

    Args:
        folder: Results folder of the study.
        cache: Cache folder with its teacher.
        before: The charges before the kill.
    """
    now, faults = Charges.of(folder, cache), []
    if now.spent_uj < before.spent_uj:
        faults.append(f"charged {now.spent_uj} uJ, but {before.spent_uj} uJ before the kill")
    for path, charged_uj in before.charged_uj.items():
        if now.charged_uj.get(path, -1) < charged_uj:
            faults.append(f"{path}: charged {now.charged_uj.get(path)} uJ, but {charged_uj} uJ before the kill")
    return faults


def _last(ledger: Path) -> Record:
    return next(iter(read_folder(ledger).values()))[-1]


def unflagged_kills(folder: StudyFolder, cache: Path, before: Charges) -> list[str]:
    """Return a fault for each ledger whose command was killed and whose account has no flag that says so.

    Args:
        folder: Results folder of the study.
        cache: Cache folder with its teacher.
        before: The charges before the kill.
    """
    accounts, faults = ledgers_of(folder, cache), []
    for path, meter in before.unended.items():
        records = next(iter(read_folder(path).values()))
        own = max(place for place, record in enumerate(records) if record.meter == meter)
        ended = [record.kind for record in records[own : own + 2]][-1] == "stop"  # the meter ended before the kill
        if not ended and not accounts[path].flags.keys() & KILL_FLAGS:
            faults.append(f"{path}: no flag reports the kill")
    return faults


def inconsistencies(folder: StudyFolder, cache: Path) -> list[str]:
    """Return the faults in the energy and the trials of a completed study.

    Args:
        folder: Results folder of the study.
        cache: Cache folder with its teacher.
    """
    faults = [
        f"{path}: the buckets sum to {sum(account.buckets.values())} uJ, but the node used {account.node_uj} uJ"
        for path, account in ledgers_of(folder, cache).items()
        if sum(account.buckets.values()) != account.node_uj
    ]
    for strategy in folder.strategies():
        name = strategy.path.name
        again = [
            trial for trial, times in Counter(line["trial_id"] for line in completed(strategy)).items() if times > 1
        ]
        faults += [f"{name}: trial {trial} was run again although it was completed" for trial in again]
        energy = json.loads(strategy.result.read_text())["cost"]["energy_uj"]
        node_total = energy.pop("node_total")
        if sum(energy.values()) != node_total:
            faults.append(f"{name}: the buckets in result.json sum to {sum(energy.values())} uJ, not {node_total} uJ")
        if left := sorted(path.name for path in strategy.path.glob("checkpoints/*")):
            faults.append(f"{name}: the checkpoints of {', '.join(left)} were not removed")
    return faults


def phase_of(folder: StudyFolder, cache: Path, began_s: float) -> str:
    """Return the phase that a command has reached, as far as the files show it.

    Args:
        folder: Results folder of the study.
        cache: Cache folder with its teacher.
        began_s: Start of the command, in seconds since 1970; older files were written by earlier commands.
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
        every = [TrialLog.read(folder.strategy(name).trials) for name in folder.noted_options()]
        return "shutdown" if all(one.status == "completed" for one in every) else "between strategies"
    if log.evaluations:
        return "results"
    return "evaluation" if log.evaluation_attempts else "trials"


def _is_new(path: Path, began_s: float) -> bool:
    return path.exists() and path.stat().st_mtime >= began_s
