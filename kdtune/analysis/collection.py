"""Finding results on disk, whichever folder was named."""

from collections.abc import Sequence
from pathlib import Path

from kdtune.errors import ResultsError
from kdtune.paths import expanded
from kdtune.results.folder import StrategyFolder, StudyFolder

#: Where results are where no place is named.
DEFAULT_PLACE = Path("results")


def find_results_if_any(places: Sequence[str | Path] | None) -> list[StrategyFolder]:
    """As :func:`find_results`; without places those of :data:`DEFAULT_PLACE`, where there may be none yet."""
    return find_results(places) if places else _under(DEFAULT_PLACE.absolute())


def studies_here() -> list[Path]:
    """The studies in :data:`DEFAULT_PLACE`, each of which has a table of its own.

    Raises:
        ResultsError: There are none.
    """
    return list(dict.fromkeys(folder.path.parent for folder in find_results([DEFAULT_PLACE])))


def find_results(places: Sequence[str | Path]) -> list[StrategyFolder]:
    """The strategies' folders under some places, each once, in order.

    Args:
        places: A strategy's folder, a study's, or one that holds studies.

    Raises:
        ResultsError: A place holds no results.
    """
    found: dict[Path, StrategyFolder] = {}
    for place in places:
        folders = _under(expanded(place).absolute())
        if not folders:
            raise ResultsError(
                f"{place}: no results here; name a folder that 'kdtune study' wrote, such as results/NAME"
            )
        found.update({folder.path: folder for folder in folders})
    return list(found.values())


def _under(path: Path) -> list[StrategyFolder]:
    if (path / "study.toml").is_file():
        return [StrategyFolder(path)]
    studies = [path, *sorted(run.parent for run in path.glob("*/run.toml"))]
    return [folder for study in studies for folder in StudyFolder(study).strategies()]
