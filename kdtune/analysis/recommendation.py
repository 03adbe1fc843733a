"""What to do after a study: search, train once, or train without a teacher; and what an answer lacks."""

import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from kdtune.analysis.baseline_comparisons import margin_of
from kdtune.analysis.comparison import Comparison, WantedCarbon, compare
from kdtune.analysis.difference_verdicts import BaselineComparison, with_verdicts
from kdtune.analysis.find_results import Places, find_results
from kdtune.analysis.paired_tests import ALPHA, smallest_sign_flip_p
from kdtune.analysis.strategy_figures import StrategyFigures, common_metric, compared, figures_of
from kdtune.analysis.verdicts import bounded_record
from kdtune.catalog.builtin import STRATEGIES
from kdtune.specs.search_space import Point
from kdtune.specs.study import Study

Advice = Literal["search", "one training", "no teacher", "open"]


@dataclass(frozen=True)
class MissingEvidence:
    """What an answer lacks.

    Attributes:
        what: Description.
        command: The command that adds it; None if there is none.
    """

    what: str
    command: str | None


@dataclass(frozen=True)
class ComparedStrategy:
    """A strategy that the recommendation compares.

    Attributes:
        strategy: Its label.
        trials: Trainings in each repeat.
        chosen: The point that each repeat chose.
    """

    strategy: str
    trials: int
    chosen: tuple[Point, ...]


@dataclass(frozen=True)
class Recommendation:
    """Advice from the results of a study. Strategies are chosen by their validation images, and judged by the test.

    Attributes:
        study: Name of the study.
        folder: Its folder.
        metric: The metric that was compared.
        margin: Differences smaller than this do not matter.
        repeats: Number of repeats of the study.
        advice: ``search``, ``one training``, ``no teacher`` or ``open``.
        use: Label of the strategy to use, for now if the advice is open; None if no strategy was tested.
        single: The best strategy of one training with a teacher.
        search: The best search.
        control: The best control of restarts, which shows what luck gives.
        alone: The best strategy without a teacher.
        search_gain: Search minus one training.
        control_gain: Restarts minus one training.
        search_over_control: Search minus restarts.
        teacher_gain: The recommended strategy with a teacher minus the one without.
        missing: What an answer lacks.
    """

    study: str
    folder: str
    metric: str
    margin: float
    repeats: int
    advice: Advice
    use: str | None
    single: ComparedStrategy | None
    search: ComparedStrategy | None
    control: ComparedStrategy | None
    alone: ComparedStrategy | None
    search_gain: BaselineComparison | None
    control_gain: BaselineComparison | None
    search_over_control: BaselineComparison | None
    teacher_gain: BaselineComparison | None
    missing: tuple[MissingEvidence, ...]

    def as_json(self) -> dict[str, Any]:
        """Return the recommendation as a record."""
        record: dict[str, Any] = bounded_record(self)
        return record


def recommend(places: Places, carbon: WantedCarbon = None) -> list[Recommendation]:
    """Return a recommendation for each study below the given places.

    Raises:
        ResultsError: No folder has results, or they are damaged.
        UsageError: The strategies of a study cannot be compared.
    """
    of_study: dict[Path, list[Path]] = {}
    for folder in find_results(places):
        of_study.setdefault(folder.path.parent, []).append(folder.path)
    return [recommendation_of(path, compare(folders, carbon=carbon)) for path, folders in of_study.items()]


def recommendation_of(
    folder: Path, found: Comparison, figures: Mapping[str, StrategyFigures] | None = None
) -> Recommendation:
    """Return the recommendation for one study.

    Args:
        folder: Folder of the study.
        found: Its results.
        figures: Figures of all strategies, if they have been computed already.
    """
    metric, margin = common_metric(found.outcomes), margin_of(found)
    study = found.folders[0].read_study()
    tested = {name: one for name, one in (figures or figures_of(found, metric)).items() if one.test}

    def best(kind: Callable[[str, StrategyFigures], bool]) -> StrategyFigures | None:
        """Return the strategy of a kind with the best validation value, since the test is for judging."""
        own = [one for name, one in tested.items() if kind(name, one)]
        return max(own, key=lambda one: metric.score(_mean(one.validation)), default=None)

    alone = best(lambda name, _: _is(study, name, "needs_teacher", False))
    control = best(lambda name, _: _is(study, name, "control", "luck"))
    others = {
        name for name in tested if not (_is(study, name, "needs_teacher", False) or _is(study, name, "control", "luck"))
    }
    single = best(lambda name, one: name in others and trials_of(one) == 1)
    search = best(lambda name, one: name in others and trials_of(one) > 1)
    pairs = [(search, single), (control, single), (search, control), (single, alone), (search, alone)]
    judged = iter(
        with_verdicts([compared(one, other, metric, margin) for one, other in pairs if one and other], metric, margin)
    )
    gain, control_gain, over, single_teacher, search_teacher = (
        next(judged) if one and other else None for one, other in pairs
    )
    advice = _advice(gain, over)
    chosen = search if advice == "search" or not single else single
    teacher_gain = search_teacher if chosen is search else single_teacher
    if teacher_gain and (teacher_gain.verdict in ("worse", "equivalent") or teacher_gain.within_margin):
        advice, chosen = "no teacher", alone
    chosen = chosen or alone or control
    return Recommendation(
        study=study.name,
        folder=str(folder),
        metric=metric.name,
        margin=margin,
        repeats=study.repeats,
        advice=advice,
        use=chosen.result.strategy if chosen else None,
        single=_candidate(single),
        search=_candidate(search),
        control=_candidate(control),
        alone=_candidate(alone),
        search_gain=gain,
        control_gain=control_gain,
        search_over_control=over,
        teacher_gain=teacher_gain,
        missing=tuple(_missing(study, folder, found, [single, search, control, alone])),
    )


def _advice(gain: BaselineComparison | None, over: BaselineComparison | None) -> Advice:
    """Return the advice from what a search gains over one training, and over restarts of it."""
    if gain is None or gain.verdict == "open":
        return "open"
    if gain.verdict != "better" or gain.within_margin:
        return "one training"
    by_luck = over is not None and (over.verdict in ("worse", "equivalent") or over.within_margin)
    return "one training" if by_luck else "search"


def _is(study: Study, label: str, fact: str, value: object) -> bool:
    """Return whether the strategy that a label refers to has a fact."""
    return bool(STRATEGIES.facts_of(study.labelled(label)[0]).get(fact) == value)


def trials_of(one: StrategyFigures) -> int:
    """Return the largest number of trainings in a repeat of a strategy."""
    return max((repeat.trials for repeat in one.result.repeats), default=0)


def _candidate(one: StrategyFigures | None) -> ComparedStrategy | None:
    if one is None:
        return None
    chosen = tuple(repeat.chosen for repeat in one.result.repeats if repeat.test and repeat.chosen is not None)
    return ComparedStrategy(one.result.strategy, trials_of(one), chosen)


def _mean(values: dict[int, float]) -> float:
    return sum(values.values()) / len(values) if values else float("-inf")


def _missing(
    study: Study, folder: Path, found: Comparison, known: Sequence[StrategyFigures | None]
) -> list[MissingEvidence]:
    """Return what an answer lacks, with the commands that add it.

    Args:
        study: The study.
        folder: Its folder.
        found: Its results.
        known: The strategy of one training, the search, the restarts and the student alone.
    """
    kinds: list[tuple[str, str, Callable[[str], bool]]] = [
        ("a strategy of one training", "fixed", lambda label: _is(study, label, "restartable", True)),
        ("a search", "grid", lambda label: study.labelled(label)[0] == "grid"),
        (
            "restarts of one training, which show how much of a search's gain is luck",
            "best-of",
            lambda label: _is(study, label, "control", "luck"),
        ),
        ("the student without a teacher", "none", lambda label: _is(study, label, "needs_teacher", False)),
    ]
    missing = [
        MissingEvidence(what, _command(study, folder, next(filter(fits, study.strategies), usual)))
        for one, (what, usual, fits) in zip(known, kinds, strict=True)
        if one is None
    ]
    for outcome in found.outcomes:
        if outcome.status != "completed":
            command = f"kdtune resume {shlex.quote(str(folder))}"
            missing.append(MissingEvidence(f"the rest of {outcome.strategy}, which is {outcome.status}", command))
    if smallest_sign_flip_p(study.repeats) > ALPHA:
        what = f"repeats: {study.repeats} cannot establish a difference in an exact test, 6 can"
        missing.append(MissingEvidence(what, None))
    if any(outcome.cost.charged_kwh is None for outcome in found.outcomes):
        missing.append(MissingEvidence("the energy of a strategy, which was not measured", None))
    return missing


def _command(study: Study, folder: Path, label: str) -> str:
    """Return the command that runs a strategy of a study beside its others."""
    place = shlex.quote(str(folder.parent))
    return f"kdtune study {study.name} -s {shlex.quote(label)} --repeats {study.repeats} --out {place}"
