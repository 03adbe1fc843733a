"""What a run expects of the strategies that it is about to begin, to be kept beside their outcome."""

import sys
from collections.abc import Mapping
from pathlib import Path

from kdtune.energy.estimate import StrategyEstimate
from kdtune.energy.flops import Workload
from kdtune.energy.ledger import read_folder
from kdtune.energy.phases import whole
from kdtune.energy.sensors import Hardware
from kdtune.results.earlier import Earlier, find_earlier
from kdtune.specs.study import Study
from kdtune.tuning.estimating import Estimator, Session, session_of, student_work
from kdtune.tuning.jobs import Inspection
from kdtune.tuning.session import Session as RaySession


class Forecast:
    """Estimates strategies while their session is under way, before they begin.

    Attributes:
        hardware: Of the machine; None where nothing is to be estimated.
        work: What is to be timed for it.
    """

    def __init__(
        self, study: Study, trials: Mapping[str, int], session: RaySession, max_concurrent: int | None
    ) -> None:
        """Find out what has to be timed.

        Args:
            study: What runs.
            trials: How many each strategy that begins is expected to run, over all repeats.
            session: Ray and the meters.
            max_concurrent: Trials at a time at most.
        """
        self.hardware = _hardware_of(session.folder) if trials else None
        self.work = student_work(study, trials)
        self._study = study
        self._trials = trials
        self._session = session
        self._slots = min(session.slots, max_concurrent or sys.maxsize)

    def estimates(self, inspection: Inspection) -> dict[str, StrategyEstimate]:
        """The estimate of each strategy; none where nothing was timed."""
        if self.hardware is None or inspection.timings is None:
            return {}
        earlier = find_earlier(self._session.folder.parents[2], self.hardware)
        estimator = Estimator(
            inspection.settle(self._study),
            Workload(**inspection.workload),
            inspection.timings,
            self.hardware,
            self._session.resources,
            self._slots,
            earlier,
            self._known_session(earlier),
            inspection.logit_stores,
        )
        return {name: estimator.strategy(name, count) for name, count in self._trials.items()}

    def _known_session(self, earlier: list[Earlier]) -> Session:
        known = session_of(earlier)
        records = list(read_folder(self._session.folder).values())
        so_far = whole(records[0]) if records else None
        if known.complete or so_far is None:
            return known
        return Session(so_far, "Ray's start as it was in this run; its end is not included.", complete=False)


def _hardware_of(ledger: Path) -> Hardware | None:
    """The machine behind a ledger; None where there are several, whose energy is not estimated."""
    found = {
        name: record.hardware
        for name, records in read_folder(ledger).items()
        for record in records
        if record.hardware is not None
    }
    return next(iter(found.values())) if len(found) == 1 else None
