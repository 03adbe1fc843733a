"""Carbon factors with which a strategy's energy was reported, so that later reports use the same ones."""

from pathlib import Path
from typing import Any

from kdtune.energy.carbon import Carbon, resolve_carbon
from kdtune.results.documents import MADE_AGAIN, check_key, read_object
from kdtune.results.folder import RUN_REMEDY, StrategyFolder


def carbon_of(folder: StrategyFolder) -> Carbon:
    """Return the carbon factors that a strategy was run with.

    They come from the strategy's result, or from the study's ``run.toml`` if there is no result yet. Without either,
    they are those of the world average.

    Raises:
        ResultsError: The file that contains them is damaged.
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
    """Return the carbon factors that a file contains.

    Args:
        record: The record that :meth:`kdtune.energy.carbon.Carbon.as_record` returned.
        path: The file, for messages.
        remedy: What the user can do about a damaged file, for messages.

    Raises:
        ResultsError: The record is not valid.
    """
    return check_key("carbon", record, Carbon, path, remedy)
