"""What a strategy shares with others, sessions and the teacher, copied so that its folder can stand alone."""

import os
from pathlib import Path
from typing import Any

from kdtune.energy.ledger import read_folder
from kdtune.energy.several_nodes import charge_all
from kdtune.results.documents import Shared, read_document
from kdtune.results.folder import StrategyFolder
from kdtune.results.trial_log import TrialLog
from kdtune.storage.checksums import sealed
from kdtune.storage.files import write_json

#: What a strategy is charged of what it shares, in microjoules: by kind, and by the id of each.
Inputs = dict[str, dict[str, int]]

#: ``resume`` writes ``shared.json`` again, but knows of the teacher only where it has something left to run.
_REMEDY = (
    "put a copy of it in its place; or delete it: sessions are then read from their own ledgers, and what the teacher "
    "and its logits took is not known"
)

_NOTHING: dict[str, Any] = {"sessions": {}, "teacher": None, "teacher_logits": {}, "compilations": {}}

#: What a strategy is charged for and shares with others: sessions, stores of the teacher's answers, generated code.
KINDS = ("session", "teacher_logits", "compilation")


def ledger_summary(folder: Path, *, dedicated: bool) -> dict[str, Any] | None:
    """What a ledger folder came to, for an input that strategies share; None where nothing was counted.

    Args:
        folder: With one ledger a node.
        dedicated: Whether idle power is charged.
    """
    account = charge_all(read_folder(folder))
    if account.quality is None:
        return None
    return {
        "energy_uj": {**account.buckets, "node_total": account.node_uj},
        "sources_uj": account.sources,
        "charged_uj": account.charged_uj(dedicated=dedicated),
        "gap_uj": account.gap_uj,
        "flags": account.flags,
        "wall_s": account.duration_ns / 1e9,
        "quality": account.quality,
    }


def write_shared(
    folder: StrategyFolder,
    teacher: dict[str, Any] | None,
    logits: dict[str, dict[str, Any]] | None = None,
    compilations: dict[str, dict[str, Any]] | None = None,
) -> None:
    """Copy into a strategy's folder what it shares with others, so that the folder can stand alone.

    Args:
        folder: The strategy's.
        teacher: The teacher's record with its energy; None where the strategy uses none.
        logits: Of each store of teacher logits that it reads, by its name: how many passes of the teacher filled it,
            and their energy.
        compilations: Of each compilation that it uses, by its name: its energy.
    """
    made = {"teacher": teacher, "teacher_logits": logits or {}, "compilations": compilations or {}}
    # A session whose ledgers have gone since it was noted is still charged.
    write_json(folder.shared, sealed({"sessions": read_shared(folder)["sessions"], **made}))


def read_shared(folder: StrategyFolder) -> dict[str, Any]:
    """What a strategy shares with others.

    Sessions from their own ledgers where these are there: what :func:`write_shared` wrote is behind them as long as a
    command runs, and stays so if it is killed.

    Raises:
        ResultsError: A file is damaged.
    """
    kept = {**_NOTHING, **(read_document(folder.shared, Shared, _REMEDY) if os.path.lexists(folder.shared) else {})}
    return {**kept, "sessions": kept["sessions"] | _sessions(folder)}


def _sessions(folder: StrategyFolder) -> dict[str, dict[str, Any]]:
    """The sessions of a strategy whose ledgers lie beside it, by their ids."""
    dedicated = folder.read_study().is_dedicated
    summaries = {
        session: ledger_summary(folder.study.session(session), dedicated=dedicated)
        for session in TrialLog.read(folder.trials).sessions
    }
    return {session: summary for session, summary in summaries.items() if summary}


def charged_inputs(shared: dict[str, Any]) -> list[dict[str, Any]]:
    """The summaries of what a strategy shares with others and is charged for, of all :data:`KINDS`."""
    return [summary for by_name in _charged(shared).values() for summary in by_name.values()]


def charged_parts(shared: dict[str, Any]) -> Inputs:
    """What a strategy is charged of what it shares: of each kind of :data:`KINDS`, by the id of each input."""
    return {
        kind: {name: summary["charged_uj"] for name, summary in by_name.items()}
        for kind, by_name in _charged(shared).items()
    }


def _charged(shared: dict[str, Any]) -> dict[str, dict[str, dict[str, Any]]]:
    """By kind and id, the summaries of what was counted."""
    made = (shared["teacher_logits"], shared["compilations"])
    energies = [{name: one["energy"] for name, one in those.items() if one["energy"]} for those in made]
    return dict(zip(KINDS, [shared["sessions"], *energies], strict=True))
