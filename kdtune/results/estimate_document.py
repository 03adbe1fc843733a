"""``estimate.json``: the expected cost of a strategy, written before the strategy runs."""

from dataclasses import asdict, dataclass
from typing import Any

from kdtune.energy.carbon import Carbon
from kdtune.results.documents import read_document
from kdtune.results.folder import StrategyFolder
from kdtune.results.strategy_result import ExpectedCost
from kdtune.storage.checksums import with_checksum
from kdtune.storage.field_types import Amount
from kdtune.storage.files import write_json
from kdtune.storage.records import strict


@dataclass(frozen=True)
class StrategyEstimate:
    """Expected cost of a strategy over all repeats.

    Attributes:
        strategy: Name of the strategy.
        trials: Largest possible number of trials.
        gflops_millions: The paper's column: nominal FLOPs of forward passes, in units of 1e15.
        training_flops: FLOPs that the trainings execute.
        wall_s: Seconds, without what it shares with other strategies; None if unknown.
        charged_uj: Charged energy, with the session's as if the strategy ran alone, in microjoules; None if unknown.
        complete: Whether starting Ray and the workers is included; if not, time and energy are lower bounds.
        basis: Explanations of where the figures come from.
    """

    strategy: str
    trials: int
    gflops_millions: float
    training_flops: int
    wall_s: float | None
    charged_uj: int | None
    complete: bool
    basis: tuple[str, ...]

    def as_record(self) -> dict[str, Any]:
        """Return the JSON object that is written to files."""
        return asdict(self)


def save_estimate(folder: StrategyFolder, estimate: StrategyEstimate) -> None:
    """Write the estimate of a strategy that is about to start."""
    write_json(folder.estimate, with_checksum(estimate.as_record()))


@strict
@dataclass(frozen=True)
class EstimateDocument:
    """The keys of ``estimate.json`` that are read again; :class:`StrategyEstimate` has all keys."""

    charged_uj: Amount | None
    wall_s: Amount | None
    basis: tuple[str, ...]


def read_estimate(folder: StrategyFolder, carbon: Carbon) -> ExpectedCost | None:
    """Return the estimate in the form that a result contains; None if there is no estimate.

    Raises:
        ResultsError: The file is damaged.
    """
    if not folder.estimate.exists():
        return None
    remedy = "replace it with an intact copy, or delete it; the result then has no estimate"
    kept = read_document(folder.estimate, EstimateDocument, remedy)
    charged_kwh = None if kept.charged_uj is None else carbon.kwh(kept.charged_uj)
    return ExpectedCost(charged_kwh, kept.wall_s, " ".join(kept.basis))
