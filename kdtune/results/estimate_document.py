"""``estimate.json``: the expected energy and time of a strategy, saved before it runs."""

from dataclasses import dataclass

from kdtune.energy.carbon import Carbon
from kdtune.forecast.strategy_estimate import StrategyEstimate
from kdtune.results.documents import read_document
from kdtune.results.folder import StrategyFolder
from kdtune.results.strategy_result import ExpectedCost
from kdtune.storage.checksums import with_checksum
from kdtune.storage.field_types import Amount
from kdtune.storage.files import write_json
from kdtune.storage.records import strict


def save_estimate(folder: StrategyFolder, estimate: StrategyEstimate) -> None:
    """Save the estimate of a strategy that is about to begin."""
    write_json(folder.estimate, with_checksum(estimate.as_record()))


@strict
@dataclass(frozen=True)
class EstimateDocument:
    """Fields of ``estimate.json`` that are read; see :class:`kdtune.forecast.strategy_estimate.StrategyEstimate`."""

    charged_uj: Amount | None
    wall_s: Amount | None
    basis: tuple[str, ...]


def read_estimate(folder: StrategyFolder, carbon: Carbon) -> ExpectedCost | None:
    """Return the estimate in the form of a result; None if there is none.

    Raises:
        ResultsError: The file is damaged.
    """
    if not folder.estimate.exists():
        return None
    remedy = "replace it with an intact copy, or delete it; the result then has no estimate"
    kept = read_document(folder.estimate, EstimateDocument, remedy)
    charged_kwh = None if kept.charged_uj is None else carbon.kwh(kept.charged_uj)
    return ExpectedCost(charged_kwh, kept.wall_s, " ".join(kept.basis))
