"""Completed strategies of earlier runs on this machine, whose ledgers show what a similar strategy will take."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from kdtune.energy.ledger import Record, read_folder
from kdtune.energy.sensors.node import Hardware
from kdtune.errors import KdtuneError, ResultsError
from kdtune.forecast.ledger_phases import Phases, session_charge, strategy_phases
from kdtune.forecast.strategy_estimate import TimeAndEnergy
from kdtune.results.cost_document import Node
from kdtune.results.documents import read_document
from kdtune.results.folder import ABANDONED, StrategyFolder, StudyFolder
from kdtune.results.trial_log import TrialLog
from kdtune.specs.study import Study
from kdtune.specs.trial_spec import Recipe
from kdtune.storage.records import strict


@strict
@dataclass(frozen=True)
class EarlierCost:
    """What is used here of the ``cost`` in a ``result.json``."""

    hardware: tuple[Node, ...]


@strict
@dataclass(frozen=True)
class EarlierResult:
    """What is used here of a ``result.json``, which an earlier release may have written."""

    status: str
    strategy: str
    cost: EarlierCost


@dataclass
class CompletedStrategy:
    """A completed strategy of an earlier, uninterrupted command, with all trials completed at the first attempt.

    Attributes:
        label: Folder below the results folder, with the session's id, which distinguishes it from a later run there.
        strategy: Name of the strategy.
        study: The study as it ran.
        cpus: Cores of each trial.
        gpus: GPUs of each trial.
        trials: Number of trials over all repeats.
        epochs: Sum of the epochs of all trials.
        recipes: Recipes of the trials, without those of an earlier release that did not log them.
        ledger: Folder of the strategy's energy ledger.
        session_ledger: Folder of the session's energy ledger: what the strategies of the command shared.
    """

    label: str
    strategy: str
    study: Study
    cpus: float
    gpus: float
    trials: int
    epochs: int
    recipes: list[Recipe]
    ledger: Path
    session_ledger: Path

    @cached_property
    def phases(self) -> Phases | None:
        """Its ledger, split into trainings and overhead; None if that is not possible."""
        records = _single_node_records(self.ledger)
        return strategy_phases(records, self.epochs) if records else None

    @cached_property
    def session(self) -> TimeAndEnergy | None:
        """Time and energy that the strategies of its command shared; None if unknown."""
        records = _single_node_records(self.session_ledger)
        return session_charge(records) if records else None


def _single_node_records(ledger: Path) -> list[Record]:
    """Return the records of a ledger; empty if it covers several nodes or is damaged."""
    try:
        nodes = list(read_folder(ledger).values())
    except ResultsError:
        return []
    return nodes[0] if len(nodes) == 1 else []


def find_completed(results: Path, hardware: Hardware, executor: str = "ray") -> list[CompletedStrategy]:
    """Return the completed strategies in a results folder that ran on this machine, newest first.

    Damaged and unfinished results are skipped.

    Args:
        results: The results folder.
        hardware: This node's hardware; results from a node with another name, CPU or GPUs are skipped.
        executor: ``ray`` or ``inline``; results of the other one are skipped, since starting takes another time.
    """
    paths = [*results.glob("*/*/result.json"), *results.glob(f"*/{ABANDONED}/*/result.json")]
    paths.sort(key=lambda path: path.stat().st_mtime, reverse=True)
    return [earlier for path in paths for earlier in _read(path, results, hardware, executor)]


def _read(path: Path, results: Path, hardware: Hardware, executor: str) -> Iterator[CompletedStrategy]:
    folder = StrategyFolder(path.parent)
    try:
        result = read_document(path, EarlierResult)
        if result.status != "completed" or not _same_machine(result.cost.hardware, hardware):
            return
        study, log, resolved = folder.read_study(), TrialLog.read(folder.trials), folder.resolved()
        trials = log.trials.values()
        if (
            not trials
            or resolved.get("executor", "ray") != executor
            or len(log.sessions) != 1
            or any(one.attempts != 1 or one.status != "completed" for one in trials)
        ):
            return
        yield CompletedStrategy(
            label=f"{path.parent.relative_to(results)} (session {log.sessions[0]})",
            strategy=result.strategy,
            study=study,
            cpus=float(resolved["cpus_per_trial"]),
            gpus=float(resolved["gpus_per_trial"]),
            trials=len(trials),
            epochs=sum(trial.epochs for trial in trials),
            recipes=[trial.spec.recipe for trial in trials if trial.spec],
            ledger=folder.ledger,
            session_ledger=StudyFolder(results / path.relative_to(results).parts[0]).session(log.sessions[0]),
        )
    except (KdtuneError, KeyError, TypeError, ValueError, OSError):
        return  # written by another release, or damaged; commands that need this result report the error


def _same_machine(nodes: Sequence[Node], hardware: Hardware) -> bool:
    def described(node: Node) -> tuple[object, ...]:
        return node.node, node.cpu_model, node.cores, node.cpu_quality, sorted(gpu.name for gpu in node.gpus)

    return [described(node) for node in nodes] == [described(Node.of(hardware))]
