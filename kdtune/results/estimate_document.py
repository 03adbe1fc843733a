"""``estimate.json``: what a strategy was expected to take, kept from before it ran."""

from typing import Any

from kdtune.energy.carbon import Carbon
from kdtune.forecast.strategy_estimate import StrategyEstimate
from kdtune.results.documents import Estimate, read_document
from kdtune.results.folder import StrategyFolder
from kdtune.storage.checksums import sealed
from kdtune.storage.files import write_json


def keep_estimate(folder: StrategyFolder, estimate: StrategyEstimate) -> None:
    """Keep the estimate of a strategy that is about to begin."""
    write_json(folder.estimate, sealed(estimate.as_record()))


def read_estimate(folder: StrategyFolder, carbon: Carbon) -> dict[str, Any] | None:
    """The estimate as it stands in a result; None where none was made.

    Raises:
        ResultsError: The file is damaged.
    """
    if not folder.estimate.exists():
        return None
    record = read_document(folder.estimate, Estimate, "put a copy of it in its place, or delete it to do without")
    charged_uj = record["charged_uj"]
    return {
        "charged_kwh": None if charged_uj is None else carbon.kwh(charged_uj),
        "wall_s": record["wall_s"],
        "basis": " ".join(record["basis"]),
    }
