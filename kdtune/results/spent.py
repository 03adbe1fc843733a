"""What a study has used so far, all commands together: what a budget is held against when it is resumed."""

from pathlib import Path

from kdtune.energy.attribution import charge_all
from kdtune.energy.ledger import read_folder
from kdtune.results.folder import StudyFolder

#: In a session's folder: where the teacher lies that this session trained.
TEACHER_NOTE = "teacher.txt"


def note_teacher(session: Path, teacher: Path) -> None:
    """Note that a session trained a teacher: its energy lies in the cache, but this study caused it."""
    session.mkdir(parents=True, exist_ok=True)
    (session / TEACHER_NOTE).write_text(f"{teacher}\n")


def spent_uj(folder: StudyFolder, *, dedicated: bool) -> int:
    """What the study in a folder was charged so far, in microjoules; without what ``--fresh`` put aside.

    Raises:
        ResultsError: A ledger is damaged.
    """
    sessions = sorted(path for path in folder.session("").glob("*") if path.is_dir())
    notes = [session / TEACHER_NOTE for session in sessions if (session / TEACHER_NOTE).is_file()]
    teachers = {Path(note.read_text().strip()) / "ledger" for note in notes}
    ledgers = [*sessions, *(strategy.ledger for strategy in folder.strategies()), *sorted(teachers)]
    return sum(charge_all(read_folder(ledger)).charged_uj(dedicated=dedicated) for ledger in ledgers)
