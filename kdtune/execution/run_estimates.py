"""What a run expects of the strategies that it is about to begin, to be kept beside their outcome."""

from collections.abc import Mapping

from kdtune.energy.flops import Workload
from kdtune.execution.cached_inspection import StudyFacts
from kdtune.execution.run_context import RunContext
from kdtune.forecast.earlier_strategies import CompletedStrategy, find_completed
from kdtune.forecast.strategy_estimate import TimeAndEnergy
from kdtune.planning.estimates import Estimator, Session, session_of, student_work
from kdtune.results.estimate_document import StrategyEstimate
from kdtune.specs.study import Study


class Forecast:
    """Estimates strategies while their session is under way, before they begin.

    Attributes:
        work: What is to be timed for it; nothing where no strategy begins.
    """

    def __init__(self, study: Study, trials: Mapping[str, int], context: RunContext) -> None:
        """Find out what has to be timed.

        Args:
            study: What runs.
            trials: How many each strategy that begins is expected to run, over all repeats.
            context: The session, whose executor will run them.
        """
        self.work = student_work(study, trials) if trials else []
        self._study = study
        self._trials = trials
        self._context = context

    def estimates(self, known: StudyFacts) -> dict[str, StrategyEstimate]:
        """The estimate of each strategy; none where nothing was timed.

        Args:
            known: Of the study.
        """
        inspection, hardware = known.inspection, known.hardware
        if hardware is None or inspection.timings is None:
            return {}
        executor = self._context.executor
        earlier = find_completed(executor.folder.parents[2], hardware, executor.kind)
        estimator = Estimator(
            inspection.settle(self._study),
            Workload(**inspection.workload),
            inspection.timings,
            hardware,
            executor.resources,
            self._context.slots,
            earlier,
            _session(earlier, known.start),
            inspection.logit_stores,
            inspection.compilations,
        )
        return {name: estimator.strategy(name, count) for name, count in self._trials.items()}


def _session(earlier: list[CompletedStrategy], start: TimeAndEnergy | None) -> Session:
    """What the strategies will share: as in an earlier command, or else as far as it is known."""
    session = session_of(earlier)
    if session.complete or start is None:
        return session
    return Session(
        start, "The session's start as it was when the study was looked at; its end is not included.", complete=False
    )
