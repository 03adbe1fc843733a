"""The energy that all commands of a study have used so far, against which a budget is checked."""

from pathlib import Path

from kdtune.energy.ledger import read_folder
from kdtune.energy.several_nodes import account_of_nodes
from kdtune.results.folder import StudyFolder
from kdtune.results.session_strategies import abandoned_sessions, read_note
from kdtune.results.shared_document import LedgerSummary, TeacherEnergy
from kdtune.results.shared_inputs import read_shared

#: File in a session's folder with the cache paths of the artifacts that the session created, one a line.
ARTIFACTS_NOTE = "made.txt"


def record_created_artifact(session: Path, made: Path) -> None:
    """Note that a session creates an artifact, so that the artifact's energy counts towards the study's budget."""
    session.mkdir(parents=True, exist_ok=True)
    with (session / ARTIFACTS_NOTE).open("a") as file:
        file.write(f"{made}\n")


def _made(session: Path) -> list[Path]:
    return [Path(line) for line in read_note(session / ARTIFACTS_NOTE)]


def spent_uj(folder: StudyFolder, *, dedicated: bool) -> int:
    """Return the energy that a study was charged so far, in microjoules, without runs that ``--fresh`` put aside.

    A study that was started again with ``--fresh`` has its whole budget again. So runs that were put aside are left
    out, and also sessions that worked only on such runs, and artifacts that only such sessions created. An artifact
    that a session of the study created counts in full, even if another study began it.

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
    """Return the energy of artifacts that have been removed from the cache, as the strategies' folders contain it."""
    found: dict[str, int] = {}
    for strategy in folder.strategies():
        shared = read_shared(strategy)
        energies: dict[str, LedgerSummary | TeacherEnergy | None] = {}
        inputs = shared.teacher_logits | shared.compilations | shared.synthesis
        energies |= {name: one.energy for name, one in inputs.items()}
        energies |= {key: teacher.energy for key, teacher in shared.teachers.items()}
        found |= {name: energy.charged_uj for name, energy in energies.items() if name in names and energy}
    return sum(found.values())
