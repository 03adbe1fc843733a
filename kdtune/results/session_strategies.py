"""The strategies that each session was to run. They are charged for the session even if it ended before they began."""

from collections.abc import Iterable
from pathlib import Path

from kdtune.errors import ResultsError
from kdtune.results.folder import ABANDONED, StrategyFolder, StudyFolder
from kdtune.results.trial_log import TrialLog
from kdtune.storage.files import read_whole

#: File in a session's folder with the strategies that the session was to run, one a line.
STRATEGIES_NOTE = "asked.txt"


def record_session_strategies(session: Path, strategies: Iterable[str]) -> None:
    """Note the strategies that a session is to run, before it uses any energy."""
    session.mkdir(parents=True, exist_ok=True)
    (session / STRATEGIES_NOTE).write_text("".join(f"{name}\n" for name in strategies))


#: Maximum length of the name of a file or a folder, in bytes.
_LONGEST_NAME = 255


def read_note(note: Path) -> list[str]:
    """Return the lines of a note; empty if the file does not exist.

    Raises:
        ResultsError: The note is damaged.
    """
    if not note.exists():
        return []
    try:
        lines = read_whole(note).decode().split("\n")
        if any("\x00" in line or max(map(len, line.encode().split(b"/"))) > _LONGEST_NAME for line in lines):
            raise ValueError("a line is not a valid path")
    except (OSError, ValueError) as error:
        raise ResultsError(f"{note}: damaged ({error}); replace it with an intact copy, or delete it") from None
    return [line for line in lines if line]


def abandoned_sessions(folder: StudyFolder) -> set[str]:
    """Return the sessions that worked only on runs that ``--fresh`` has put aside.

    Raises:
        ResultsError: A trial log is damaged.
    """
    return _named_by(_aside(folder)) - _named_by(folder.strategies())


def _aside(folder: StudyFolder) -> list[StrategyFolder]:
    return [StrategyFolder(path) for path in folder.path.glob(f"{ABANDONED}/*") if path.is_dir()]


def _named_by(strategies: Iterable[StrategyFolder]) -> set[str]:
    return {session for strategy in strategies for session in TrialLog.read(strategy.trials).sessions}


def unstarted_sessions(folder: StudyFolder, strategy: str) -> list[str]:
    """Return the sessions that were to run a strategy and ended before any strategy began, oldest first.

    Such a session may have trained a teacher or a part of one, also for this strategy. The strategy is charged for it
    when it begins.

    Raises:
        ResultsError: A trial log is damaged.
    """
    begun = _named_by([*folder.strategies(), *_aside(folder)])
    return [
        note.parent.name
        for note in sorted(folder.session("").glob(f"*/{STRATEGIES_NOTE}"))
        if note.parent.name not in begun and strategy in read_note(note)
    ]
