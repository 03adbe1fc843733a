"""Estimates of the strategies that a run begins, which are stored with their results."""

from collections.abc import Mapping

from kdtune.energy.flops import Workload
from kdtune.execution.cached_inspection import StudyFacts
from kdtune.execution.run_context import RunContext
from kdtune.forecast.earlier_strategies import CompletedStrategy, find_completed
from kdtune.forecast.strategy_estimate import TimeAndEnergy
from kdtune.planning.estimates import Estimator
from kdtune.planning.session_estimate import SessionEstimate, session_estimate
from kdtune.planning.step_kinds import student_work
from kdtune.results.estimate_document import StrategyEstimate
from kdtune.specs.study import Study


class RunEstimator:
    """Estimates strategies in a running session, before they begin.

    Attributes:
        work: Kinds of work whose steps have to be timed; empty if no strategy begins.
    """

    def __init__(self, study: Study, trials: Mapping[str, int], context: RunContext) -> None:
        """Determine which kinds of work have to be timed.

        Args:
            study: The study.
            trials: Expected number of trials of each strategy that begins, over all repeats.
            context: The session, whose executor will run them.
        """
        self.work = student_work(study, trials) if trials else []
        self._study = study
        self._trials = trials
        self._context = context

    def estimates(self, known: StudyFacts) -> dict[str, StrategyEstimate]:
        """Return the estimate of each strategy; empty if nothing was timed.

        Args:
            known: Facts of the study.
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
            inspection.synthesis,
        )
        return {name: estimator.strategy(name, count) for name, count in self._trials.items()}


def _session(earlier: list[CompletedStrategy], start: TimeAndEnergy | None) -> SessionEstimate:
    """Return the cost of a session as in an earlier command, or else that of its start."""
    session = session_estimate(earlier)
    if session.complete or start is None:
        return session
    return SessionEstimate(
        start,
        "The start of the session as metered when the study was inspected; its end is not included.",
        complete=False,
    )
