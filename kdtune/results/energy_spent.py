"""What a study has used so far, all commands together: what a budget is held against when it is resumed."""

from pathlib import Path

from kdtune.energy.ledger import read_folder
from kdtune.energy.several_nodes import account_of_nodes
from kdtune.results.folder import StudyFolder
from kdtune.results.session_strategies import abandoned_sessions, read_note
from kdtune.results.shared_document import LedgerSummary, TeacherEnergy
from kdtune.results.shared_inputs import read_shared

#: In a session's folder: where that lies in the cache which this session made, a path a line.
ARTIFACTS_NOTE = "made.txt"


def record_created_artifact(session: Path, made: Path) -> None:
    """Note that a session makes what others may use as well: its energy lies in the cache, but this study caused it."""
    session.mkdir(parents=True, exist_ok=True)
    with (session / ARTIFACTS_NOTE).open("a") as file:
        file.write(f"{made}\n")


def _made(session: Path) -> list[Path]:
    return [Path(line) for line in read_note(session / ARTIFACTS_NOTE)]


def spent_uj(folder: StudyFolder, *, dedicated: bool) -> int:
    """What the study in a folder was charged so far, in microjoules; without what ``--fresh`` put aside.

    So a study that was begun afresh has its whole budget again: left out are the runs that were put aside, sessions
    that worked on nothing else, and the teachers and the like that only such sessions made. What a session made counts
    whole, though another one may have begun it.

    Raises:
        ResultsError: A ledger or a trial log is damaged.
    """
    left_out = abandoned_sessions(folder)
    sessions = sorted(path for path in folder.session("").glob("*") if path.is_dir() and path.name not in left_out)
    made = {path for session in sessions for path in _made(session)}
    ledgers = [*sessions, *(strategy.ledger for strategy in folder.strategies())]
    ledgers += sorted(path / "ledger" for path in made)
    return _removed_energy_uj(folder, {path.name for path in made if not path.exists()}) + sum(
        account_of_nodes(read_folder(ledger)).charged_uj(dedicated=dedicated) for ledger in ledgers
    )


def _removed_energy_uj(folder: StudyFolder, names: set[str]) -> int:
    """Energy of what was made and has been cleaned out of the cache since, from the strategies' copies."""
    found: dict[str, int] = {}
    for strategy in folder.strategies():
        shared = read_shared(strategy)
        energies: dict[str, LedgerSummary | TeacherEnergy | None] = {}
        energies |= {name: one.energy for name, one in (shared.teacher_logits | shared.compilations).items()}
        if shared.teacher:
            energies[shared.teacher.key] = shared.teacher.energy
        found |= {name: energy.charged_uj for name, energy in energies.items() if name in names and energy}
    return sum(found.values())
