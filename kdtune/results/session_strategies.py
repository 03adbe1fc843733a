"""Which strategies a session was for: what it used is on their bills, though it may have come to none of them."""

from collections.abc import Iterable
from pathlib import Path

from kdtune.errors import ResultsError
from kdtune.results.folder import ABANDONED, StrategyFolder, StudyFolder
from kdtune.results.trial_log import TrialLog
from kdtune.storage.files import read_whole

#: In a session's folder: the strategies that it was to run, one a line.
STRATEGIES_NOTE = "asked.txt"


def record_session_strategies(session: Path, strategies: Iterable[str]) -> None:
    """Note what a session is to run, before it uses anything."""
    session.mkdir(parents=True, exist_ok=True)
    (session / STRATEGIES_NOTE).write_text("".join(f"{name}\n" for name in strategies))


#: Bytes in the name of a file or a folder.
_LONGEST_NAME = 255


def read_note(note: Path) -> list[str]:
    """The lines of a note; none where there is none.

    Raises:
        ResultsError: It is damaged.
    """
    if not note.exists():
        return []
    try:
        lines = read_whole(note).decode().split("\n")
        if any("\x00" in line or max(map(len, line.encode().split(b"/"))) > _LONGEST_NAME for line in lines):
            raise ValueError("a line that names no file")
    except (OSError, ValueError) as error:
        raise ResultsError(f"{note}: damaged ({error}); replace it with an intact copy, or delete it") from None
    return [line for line in lines if line]


def abandoned_sessions(folder: StudyFolder) -> set[str]:
    """Sessions that worked on nothing but runs which ``--fresh`` put aside since.

    Raises:
        ResultsError: A trial log is damaged.
    """
    return _named_by(_aside(folder)) - _named_by(folder.strategies())


def _aside(folder: StudyFolder) -> list[StrategyFolder]:
    return [StrategyFolder(path) for path in folder.path.glob(f"{ABANDONED}/*") if path.is_dir()]


def _named_by(strategies: Iterable[StrategyFolder]) -> set[str]:
    return {session for strategy in strategies for session in TrialLog.read(strategy.trials).sessions}


def unstarted_sessions(folder: StudyFolder, strategy: str) -> list[str]:
    """Sessions that were to run a strategy and ended before they set to work on any, oldest first.

    Whatever they made (a teacher, half a teacher) or only tried, they did it for this strategy too; it takes them
    on its bill when it begins.

    Raises:
        ResultsError: A trial log is damaged.
    """
    begun = _named_by([*folder.strategies(), *_aside(folder)])
    return [
        note.parent.name
        for note in sorted(folder.session("").glob(f"*/{STRATEGIES_NOTE}"))
        if note.parent.name not in begun and strategy in read_note(note)
    ]
