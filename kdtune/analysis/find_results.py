"""Finding results on disk, whichever folder was named."""

import os
import warnings
from collections.abc import Sequence
from pathlib import Path

from kdtune.errors import Remark, ResultsError
from kdtune.results.folder import ABANDONED, StrategyFolder, StudyFolder
from kdtune.storage.paths import expanded

#: Where results are where no place is named.
DEFAULT_PLACE = Path("results")

#: A folder with results, or several, such as a shell's ``results/digits-hkd/*``.
Places = str | Path | Sequence[str | Path]


def find_results_if_any(places: Places | None) -> list[StrategyFolder]:
    """As :func:`find_results`; without places those of :data:`DEFAULT_PLACE`, where there may be none yet."""
    return find_results(places) if places else _under(DEFAULT_PLACE.absolute())


def studies_here() -> list[Path]:
    """The studies in :data:`DEFAULT_PLACE`, each of which has a table of its own.

    Raises:
        ResultsError: There are none.
    """
    return list(dict.fromkeys(folder.path.parent for folder in find_results(DEFAULT_PLACE)))


def find_results(places: Places) -> list[StrategyFolder]:
    """The strategies' folders under some places, each once, in order.

    Files and folders without results are skipped with a :class:`~kdtune.errors.Remark`, since a shell's ``*`` names
    whatever lies beside results; so is the folder of runs that ``--fresh`` put aside, unless it is named alone.

    Args:
        places: A strategy's folder, a study's, or one that holds studies; or several of them.

    Raises:
        ResultsError: A place does not exist, or no place holds results.
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
        raise _no_results(", ".join(skipped) or "no folder named")
    if skipped:
        warnings.warn(Remark(f"skipped, since these are no results: {', '.join(skipped)}"), stacklevel=2)
    return list(found.values())


def _no_results(places: str) -> ResultsError:
    return ResultsError(f"{places}: no results here; name a folder that 'kdtune study' wrote, such as results/NAME")


def _is_put_aside(path: Path) -> bool:
    return path.name == ABANDONED and not (path / "run.toml").exists()


def _under(path: Path) -> list[StrategyFolder]:
    if (path / "study.toml").is_file():
        return [StrategyFolder(path)]
    studies = [path, *sorted(run.parent for run in path.glob("*/run.toml"))]
    return [folder for study in studies for folder in StudyFolder(study).strategies()]
