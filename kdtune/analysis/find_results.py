"""Search for folders with results below the folders that a user names."""

import os
import warnings
from collections.abc import Sequence
from pathlib import Path

from kdtune.errors import Remark, ResultsError
from kdtune.results.folder import ABANDONED, StrategyFolder, StudyFolder
from kdtune.storage.paths import expanded

#: Folder that is searched if the user names none.
DEFAULT_PLACE = Path("results")

#: One folder with results, or several, such as those of a shell's ``results/digits-hkd/*``.
Places = str | Path | Sequence[str | Path]


def find_results_if_any(places: Places | None) -> list[StrategyFolder]:
    """Like :func:`find_results`, but without places it searches :data:`DEFAULT_PLACE` and may return an empty list."""
    return find_results(places) if places else _under(DEFAULT_PLACE.absolute())


def studies_here() -> list[Path]:
    """Return the folders of the studies in :data:`DEFAULT_PLACE`, each of which is shown in a separate table.

    Raises:
        ResultsError: No study has results there.
    """
    return list(dict.fromkeys(folder.path.parent for folder in find_results(DEFAULT_PLACE)))


def find_results(places: Places) -> list[StrategyFolder]:
    """Return the folders of all strategies below the given places, in order and without duplicates.

    Files and folders without results are skipped with a :class:`~kdtune.errors.Remark`, since a shell's ``*`` also
    matches other files. The folder of runs that ``--fresh`` put aside is skipped too, unless it is the only place.

    Args:
        places: The folder of a strategy, of a study, or of several studies; or a sequence of such folders.

    Raises:
        ResultsError: A place does not exist, or no place contains results.
    """
    named = [places] if isinstance(places, str | Path) else list(places)
    found: dict[Path, StrategyFolder] = {}
    skipped = []
    for place in named:
        path = expanded(place).absolute()
        folders = [] if len(named) > 1 and _is_put_aside(path) else _under(path)
        found.update({folder.path: folder for folder in folders})
        if not folders:
            skipped.append(str(place))
        if not os.path.lexists(path):
            raise _no_results(str(place))
    if not found:
        studies = [study for place in skipped for study in _studies(expanded(place).absolute())]
        if waiting := next((study for study in studies if study.left_to_begin()), None):
            raise ResultsError(
                f"{waiting.path}: no strategy has begun here; unless a command is running this study, continue with "
                f"'{waiting.resume_command}'"
            )
        raise _no_results(", ".join(skipped) or "no folder named")
    if skipped:
        warnings.warn(Remark(f"skipped because they contain no results: {', '.join(skipped)}"), stacklevel=2)
    return list(found.values())


def _no_results(places: str) -> ResultsError:
    return ResultsError(f"{places}: no results here; name a folder that 'kdtune study' wrote, such as results/NAME")


def _is_put_aside(path: Path) -> bool:
    return path.name == ABANDONED and not (path / "run.toml").exists()


def _under(path: Path) -> list[StrategyFolder]:
    if (path / "study.toml").is_file():
        return [StrategyFolder(path)]
    return [folder for study in _studies(path) for folder in study.strategies()]


def _studies(path: Path) -> list[StudyFolder]:
    """Return a folder as that of a study, and the studies in it."""
    return [StudyFolder(one) for one in (path, *sorted(run.parent for run in path.glob("*/run.toml")))]
