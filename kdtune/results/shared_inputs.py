"""Reading and writing of ``shared.json``, which copies the cost of shared inputs into a strategy's folder."""

import os
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path

from kdtune.energy.ledger import read_folder
from kdtune.energy.several_nodes import account_of_nodes
from kdtune.results.documents import read_document
from kdtune.results.folder import StrategyFolder
from kdtune.results.shared_document import (
    CompilationInput,
    LedgerSummary,
    SharedInputs,
    SynthesisInput,
    Teacher,
    TeacherLogitsInput,
)
from kdtune.results.trial_log import TrialLog
from kdtune.storage.checksums import with_checksum
from kdtune.storage.files import write_json
from kdtune.storage.records import as_record

#: ``resume`` writes ``shared.json`` again, but looks up the teacher only if there are trials left to run.
_REMEDY = (
    "replace it with an intact copy; or delete it: sessions are then read from their own ledgers, but the energy of "
    "the teacher and its logits is unknown"
)


def ledger_summary(folder: Path, *, dedicated: bool) -> LedgerSummary | None:
    """Return the summary of a folder of energy ledgers; None if nothing was metered.

    Args:
        folder: Folder with one ledger for each node.
        dedicated: Whether idle energy is charged.
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
    teacher: Teacher | None,
    logits: Mapping[str, TeacherLogitsInput] | None = None,
    compilations: Mapping[str, CompilationInput] | None = None,
    synthesis: Mapping[str, SynthesisInput] | None = None,
    other_teachers: Iterable[Teacher] = (),
    before: SharedInputs | None = None,
) -> None:
    """Write ``shared.json``, so that a strategy's folder contains the cost of all inputs that it shares with others.

    Args:
        folder: The strategy's folder.
        teacher: The teacher, or that of the first repeat; None for a strategy without one.
        logits: Stores of teacher logits that the strategy reads, by name.
        compilations: Compiled code that the strategy uses, by name.
        synthesis: Synthetic images on which the strategy trains, by name.
        other_teachers: Teachers of further repeats.
        before: Students of another strategy with which this one begins, and the inputs of that strategy; None if it
            begins untrained.
    """
    # A session whose ledgers have been deleted is still charged, from its earlier summary.
    before = before or SharedInputs()
    sessions = noted_inputs(folder).sessions | before.sessions | _sessions(folder)
    by_key = {one.key: one for one in other_teachers}
    shared = SharedInputs(
        sessions,
        teacher or before.teacher,
        before.teacher_logits | dict(logits or {}),
        before.compilations | dict(compilations or {}),
        before.synthesis | dict(synthesis or {}),
        by_key or before.other_teachers,
        before.students,
    )
    write_json(folder.shared, with_checksum(as_record(shared)))


def noted_inputs(folder: StrategyFolder) -> SharedInputs:
    """Return the content of ``shared.json``; empty if the file does not exist.

    Raises:
        ResultsError: The file is damaged.
    """
    return read_document(folder.shared, SharedInputs, _REMEDY) if os.path.lexists(folder.shared) else SharedInputs()


def read_shared(folder: StrategyFolder) -> SharedInputs:
    """Return the inputs that a strategy shares with others.

    The energy of a session comes from its own ledgers if they exist, since ``shared.json`` is out of date while a
    command runs and after it was killed.

    Raises:
        ResultsError: A file is damaged.
    """
    noted = noted_inputs(folder)
    return replace(noted, sessions=noted.sessions | _sessions(folder))


def _sessions(folder: StrategyFolder) -> dict[str, LedgerSummary]:
    """Return the energy summaries of the strategy's sessions whose ledgers exist, by session id."""
    dedicated = folder.read_study().is_dedicated
    summaries = {
        session: ledger_summary(folder.study.session(session), dedicated=dedicated)
        for session in TrialLog.read(folder.trials).sessions
    }
    return {session: summary for session, summary in summaries.items() if summary}
