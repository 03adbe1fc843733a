"""How a strategy's energy was reported when it ran, so that it is reported alike afterwards."""

from pathlib import Path
from typing import Any

from kdtune.energy.carbon import Carbon, resolve_carbon
from kdtune.results.documents import MADE_AGAIN, check_key, read_object
from kdtune.results.folder import RUN_REMEDY, StrategyFolder


def carbon_of(folder: StrategyFolder) -> Carbon:
    """The figures that a strategy was run with.

    From its outcome; where that was never written, from what its study's last command noted when it began; the
    world's average where neither is there.

    Raises:
        ResultsError: The file that has them is damaged.
    """
    if folder.result.is_file():
        cost = read_object(folder.result).get("cost")
        record = cost.get("carbon") if isinstance(cost, dict) else None
        return carbon_from(record, folder.result, MADE_AGAIN)
    run = folder.study
    if run.run_toml.is_file():
        return carbon_from(run.read_run().get("carbon"), run.run_toml, RUN_REMEDY)
    return resolve_carbon()


def carbon_from(record: Any, path: Path, remedy: str) -> Carbon:
    """The figures that a file notes.

    Args:
        record: As :meth:`kdtune.energy.carbon.Carbon.as_record` makes it.
        path: The file.
        remedy: What to do about one that is damaged.

    Raises:
        ResultsError: They are not such figures.
    """
    return check_key("carbon", record, Carbon, path, remedy)
