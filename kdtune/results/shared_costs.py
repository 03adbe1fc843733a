"""What a strategy shares with others, sessions and the teacher, copied so that its folder can stand alone."""

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

from kdtune.energy.ledger import read_folder
from kdtune.energy.several_nodes import account_of_nodes
from kdtune.results.documents import check, read_document, read_object
from kdtune.results.folder import StrategyFolder
from kdtune.results.shared_document import LedgerSummary, Shared
from kdtune.results.trial_log import TrialLog
from kdtune.storage.checksums import with_checksum
from kdtune.storage.files import write_json
from kdtune.storage.records import as_record

#: ``resume`` writes ``shared.json`` again, but knows of the teacher only where it has something left to run.
_REMEDY = (
    "put a copy of it in its place; or delete it: sessions are then read from their own ledgers, and what the teacher "
    "and its logits took is not known"
)


def ledger_summary(folder: Path, *, dedicated: bool) -> LedgerSummary | None:
    """What a ledger folder came to, for an input that strategies share; None where nothing was counted.

    Args:
        folder: With one ledger a node.
        dedicated: Whether idle power is charged.
    """
    account = account_of_nodes(read_folder(folder))
    if account.quality is None:
        return None
    return LedgerSummary(
        energy_uj={**account.buckets, "node_total": account.node_uj},
        sources_uj=account.sources,
        charged_uj=account.charged_uj(dedicated=dedicated),
        gap_uj=account.gap_uj,
        flags=account.flags,
        wall_s=account.duration_ns / 1e9,
        quality=account.quality,
    )


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
    sessions = kept_shared(folder)["sessions"] | _sessions(folder)
    write_json(folder.shared, with_checksum(as_record({"sessions": sessions, **made})))


def kept_shared(folder: StrategyFolder) -> dict[str, Any]:
    """The content of ``shared.json`` with keys that are not relied on, so that it can be written again.

    Raises:
        ResultsError: The file is damaged.
    """
    kept = read_object(folder.shared, _REMEDY) if os.path.lexists(folder.shared) else {}
    check(kept, Shared, folder.shared, _REMEDY)
    return {"sessions": {}, "teacher": None, "teacher_logits": {}, "compilations": {}, **kept}


def read_shared(folder: StrategyFolder) -> Shared:
    """What a strategy shares with others.

    Sessions from their own ledgers where these are there: what :func:`write_shared` wrote is behind them as long as a
    command runs, and stays so if it is killed.

    Raises:
        ResultsError: A file is damaged.
    """
    kept = read_document(folder.shared, Shared, _REMEDY) if os.path.lexists(folder.shared) else Shared()
    return replace(kept, sessions=kept.sessions | _sessions(folder))


def _sessions(folder: StrategyFolder) -> dict[str, LedgerSummary]:
    """The sessions of a strategy whose ledgers lie beside it, by their ids."""
    dedicated = folder.read_study().is_dedicated
    summaries = {
        session: ledger_summary(folder.study.session(session), dedicated=dedicated)
        for session in TrialLog.read(folder.trials).sessions
    }
    return {session: summary for session, summary in summaries.items() if summary}
