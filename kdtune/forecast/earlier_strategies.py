"""Strategies that ran to their end on this machine before: what they took says what the next one will take."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from kdtune.energy.ledger import Record, read_folder
from kdtune.energy.sensors.node import Hardware
from kdtune.errors import KdtuneError, ResultsError
from kdtune.forecast.ledger_phases import Phases, phases, whole
from kdtune.forecast.strategy_estimate import Charge
from kdtune.results.cost_document import Node
from kdtune.results.documents import read_document
from kdtune.results.folder import ABANDONED, StrategyFolder, StudyFolder
from kdtune.results.trial_log import TrialLog
from kdtune.specs.study import Study
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
class Earlier:
    """A strategy of a command that was never interrupted, all of its trials completed at the first attempt.

    Attributes:
        label: The folder below the results, and the session, so that it can be told from a later run.
        strategy: Its name.
        study: As it ran.
        cpus: Cores that each trial had.
        gpus: GPUs that each trial had.
        trials: Over all repeats.
        epochs: Of all trials.
        ledger: Folder of its energy ledger.
        session_ledger: The same of what the strategies of its command shared.
    """

    label: str
    strategy: str
    study: Study
    cpus: float
    gpus: float
    trials: int
    epochs: int
    ledger: Path
    session_ledger: Path

    @cached_property
    def phases(self) -> Phases | None:
        """Its ledger taken apart; None where that is not possible."""
        records = _of_one_node(self.ledger)
        return phases(records, self.epochs) if records else None

    @cached_property
    def session(self) -> Charge | None:
        """What the strategies of its command shared; None where that is not known."""
        records = _of_one_node(self.session_ledger)
        return whole(records) if records else None


def _of_one_node(ledger: Path) -> list[Record]:
    """The records of a ledger; none where they are of several nodes, or damaged."""
    try:
        nodes = list(read_folder(ledger).values())
    except ResultsError:
        return []
    return nodes[0] if len(nodes) == 1 else []


def find_earlier(results: Path, hardware: Hardware) -> list[Earlier]:
    """What ran before under a results folder, on the same node with the same CPU and GPUs, the newest first.

    Damaged or unfinished results are passed over.
    """
    paths = [*results.glob("*/*/result.json"), *results.glob(f"*/{ABANDONED}/*/result.json")]
    paths.sort(key=lambda path: path.stat().st_mtime, reverse=True)
    return [earlier for path in paths for earlier in _read(path, results, hardware)]


def _read(path: Path, results: Path, hardware: Hardware) -> Iterator[Earlier]:
    folder = StrategyFolder(path.parent)
    try:
        result = read_document(path, EarlierResult)
        if result.status != "completed" or not _same_machine(result.cost.hardware, hardware):
            return
        study, log, resolved = folder.read_study(), TrialLog.read(folder.trials), folder.resolved()
        trials = log.trials.values()
        if (
            not trials
            or len(log.sessions) != 1
            or any(one.attempts != 1 or one.status != "completed" for one in trials)
        ):
            return
        yield Earlier(
            label=f"{path.parent.relative_to(results)} (session {log.sessions[0]})",
            strategy=result.strategy,
            study=study,
            cpus=float(resolved["cpus_per_trial"]),
            gpus=float(resolved["gpus_per_trial"]),
            trials=len(trials),
            epochs=sum(trial.epochs for trial in trials),
            ledger=folder.ledger,
            session_ledger=StudyFolder(results / path.relative_to(results).parts[0]).session(log.sessions[0]),
        )
    except (KdtuneError, KeyError, TypeError, ValueError, OSError):
        return  # of another release, or damaged: it is of no use here, and says so where it is asked for


def _same_machine(nodes: Sequence[Node], hardware: Hardware) -> bool:
    def described(node: Node) -> tuple[object, ...]:
        return node.node, node.cpu_model, node.cores, node.cpu_quality, sorted(gpu.name for gpu in node.gpus)

    return [described(node) for node in nodes] == [described(Node.of(hardware))]
