"""Estimates of what all strategies of a study share: the teacher's logits, images made from it, and compiled code."""

from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path

from kdtune.artifacts.compiled_code import CompiledCode
from kdtune.artifacts.logit_store import LogitStore
from kdtune.artifacts.shared_synthesis import SharedSynthesis
from kdtune.forecast.strategy_estimate import (
    Conditions,
    LogitsEstimate,
    StrategyOverhead,
    SynthesisEstimate,
    TimeAndEnergy,
    Timings,
    WorkKind,
    strategy_charge,
    sum_or_none,
)
from kdtune.results.shared_inputs import ledger_summary


class SharedEstimates:
    """Estimates of what is made once, charged whole to every strategy that uses it, and counted once in the total."""

    def __init__(
        self,
        timings: Timings,
        conditions: Conditions,
        stores: Sequence[LogitStore] = (),
        compilations: Mapping[bool, str] | None = None,
        synthesis: SharedSynthesis | None = None,
    ) -> None:
        """Prepare the estimates; see :class:`kdtune.planning.estimates.Estimator` for the arguments."""
        self._timings = timings
        self._conditions = conditions
        self._stores = stores
        self._compilations = compilations or {}
        self._synthesis = synthesis

    def compiled_uj(self, *, live_teacher: bool) -> int | None:
        """Return the energy of earlier compilation that a strategy will be charged, in microjoules.

        Args:
            live_teacher: Whether its trainings compute the teacher's logits in every step.

        Returns:
            0 if nothing is compiled for the strategy; None if the code has not been compiled yet.
        """
        if live_teacher not in self._compilations:
            return 0
        one = CompiledCode(Path(self._compilations[live_teacher]))
        return self._spent_uj(one.ledger) if one.is_made() else None

    @cached_property
    def logits(self) -> LogitsEstimate:
        """Estimate of computing the teacher's logits once for all trainings."""
        fills = [self._fill(store) for store in self._stores]
        charged_uj, due_uj = (sum_or_none(*(fill[place] for fill in fills)) for place in (1, 2))
        return LogitsEstimate(
            bytes=sum(store.bytes for store in self._stores),
            passes=sum(store.shape.epochs * store.shape.images for store in self._stores),
            wall_s=sum(fill[0] for fill in fills),
            charged_uj=_rounded(charged_uj),
            due_uj=_rounded(due_uj),
        )

    def _fill(self, store: LogitStore) -> tuple[float, float | None, float | None]:
        """Return, for one store, the remaining time in s, its total energy and its remaining energy in microjoules."""
        missing = len(store.missing_epochs())
        if not missing:
            return 0.0, self._spent_uj(store.ledger), 0.0
        parts = min(missing, self._conditions.slots)
        wall_s, due_uj = self._work("teacher_logits", missing * store.shape.images, parts)
        return wall_s, sum_or_none(self._spent_uj(store.ledger) or 0, due_uj), due_uj

    @cached_property
    def images(self) -> SynthesisEstimate | None:
        """Estimate of making images from the teacher once for all trainings; None for a study on real images."""
        if (made := self._synthesis) is None:
            return None
        spent_uj = self._spent_uj(made.ledger)
        if made.is_complete():
            return SynthesisEstimate(made.count, made.flops, 0.0, spent_uj, 0)
        if "synthesis" not in self._timings.per_image:  # they were deleted after the steps of this study were timed
            return SynthesisEstimate(made.count, made.flops, None, None, None)
        missing = len(made.images.missing())
        images = made.count * missing / made.images.batches
        wall_s, due_uj = self._work("synthesis", images, made.parallel(missing, self._conditions.slots))
        charged_uj = sum_or_none(spent_uj or 0, due_uj)
        return SynthesisEstimate(made.count, made.flops, wall_s, _rounded(charged_uj), _rounded(due_uj))

    def _work(self, kind: WorkKind, images: float, parts: int) -> tuple[float, float | None]:
        """Return the time in s and the energy in microjoules of work that some workers do at the same time."""
        part = self._timings.per_image[kind] * (images / parts)
        nothing = StrategyOverhead(TimeAndEnergy(0.0, 0.0, 0.0))
        return strategy_charge(parts, part, self._timings.idle_for(parts, self._conditions), nothing, self._conditions)

    def _spent_uj(self, ledger: Path) -> int | None:
        """Return the energy that a ledger charges so far, in microjoules; None if nothing was metered."""
        spent = ledger_summary(ledger, dedicated=self._conditions.dedicated)
        return spent.charged_uj if spent else None


def _rounded(energy_uj: float | None) -> int | None:
    return None if energy_uj is None else round(energy_uj)
