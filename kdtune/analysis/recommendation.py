"""What to do after a study: search, train once, or train without a teacher; and what an answer lacks."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from kdtune.analysis.baseline_comparisons import margin_of
from kdtune.analysis.chance_level import all_at_chance
from kdtune.analysis.comparison import Comparison, WantedCarbon, compare
from kdtune.analysis.difference_verdicts import BaselineComparison, with_verdicts
from kdtune.analysis.find_results import Places, find_results
from kdtune.analysis.missing_evidence import MissingEvidence, Role, goes_on_from_another, has_fact, missing_evidence
from kdtune.analysis.restart_controls import restarts_training
from kdtune.analysis.strategy_figures import StrategyFigures, common_metric, compared, figures_of
from kdtune.analysis.verdicts import bounded_record
from kdtune.catalog.metric import Metric
from kdtune.results.folder import StrategyFolder
from kdtune.specs.search_space import Point
from kdtune.specs.study import Study

Advice = Literal["search", "one training", "no teacher", "open"]


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
        metric_info: How it is judged and shown.
        margin: Differences smaller than this do not matter.
        repeats: Number of repeats of the study.
        tested_repeats: Number of repeats that the comparisons have in common; of the strategy to use if there are none.
        vary: What differed between repeats besides the seeds of the trainings.
        at_chance: Whether no chosen model is better than chance, so that nothing can be compared.
        advice: ``search``, ``one training``, ``no teacher`` or ``open``.
        use: Label of the strategy to use, for now if the advice is open; None if no strategy was tested, or if all are
            at chance.
        single: The best strategy of one training with a teacher.
        search: The best search.
        control: The control that restarts this training, or else the best one of another; it shows what luck gives.
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
    metric_info: Metric
    margin: float
    repeats: int
    tested_repeats: int
    vary: tuple[str, ...]
    at_chance: bool
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


def _roles(study: Study, tested: Mapping[str, StrategyFigures], metric: Metric) -> dict[Role, StrategyFigures | None]:
    """Return the strategies to compare: of each kind the best by its validation images, since the test is to judge.

    Strategies that change the student of another one say nothing about how to train it, so they are left out, unless
    there are no others.
    """
    tested = {name: one for name, one in tested.items() if not goes_on_from_another(study, name)} or tested
    alone = {name for name in tested if has_fact(study, name, "needs_teacher", False)}
    controls = {name for name in tested if has_fact(study, name, "control", "luck")}
    singles = {name for name in tested.keys() - alone - controls if trials_of(tested[name]) == 1}

    def best(names: Iterable[str]) -> StrategyFigures | None:
        ordered = [one for name, one in tested.items() if name in set(names)]
        return max(ordered, key=lambda one: _mean_score(one.validation, metric), default=None)

    single = best(singles)
    own = [name for name in controls if single and restarts_training(study, name, single.result.strategy)]
    return {
        "single": single,
        "search": best(tested.keys() - alone - controls - singles),
        "control": best(own or controls),
        "alone": best(alone),
    }


def _study_of(folders: Sequence[StrategyFolder]) -> Study:
    """Return the frozen study with the strategies of all results, which later commands may have defined."""
    studies = {folder.path.name: folder.read_study() for folder in folders}
    first = next(iter(studies.values()))
    own = {label: study.strategies[label] for label, study in studies.items() if label in study.strategies}
    return first.model_copy(update={"strategies": {**first.strategies, **own}})


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
    study = _study_of(found.folders)
    tested = {name: one for name, one in (figures or figures_of(found, metric)).items() if one.test}
    roles = _roles(study, tested, metric)
    single, search, control, alone = (roles[role] for role in ("single", "search", "control", "alone"))
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
    if teacher_gain and (_is_ruled_out(teacher_gain) or teacher_gain.is_loss(metric)):
        if chosen is single and _may_help(search_teacher, metric, established=_is_ruled_out(teacher_gain)):
            advice, chosen, teacher_gain = "open", search, search_teacher
        else:
            advice, chosen = "no teacher" if _is_ruled_out(teacher_gain) else "open", alone
    chosen = chosen or alone or control
    at_chance = all_at_chance(found)
    if at_chance:
        advice, chosen = "open", None
    common = [one.difference.n for one in (gain, control_gain, over, teacher_gain) if one and one.difference]
    return Recommendation(
        study=study.name,
        folder=str(folder),
        metric=metric.name,
        metric_info=metric,
        margin=margin,
        repeats=study.repeats,
        tested_repeats=min(common, default=len(chosen.test) if chosen else 0),
        vary=study.vary,
        at_chance=at_chance,
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
        missing=() if at_chance else tuple(missing_evidence(study, found, roles, (gain, over, teacher_gain))),
    )


def _advice(gain: BaselineComparison | None, over: BaselineComparison | None) -> Advice:
    """Return the advice from what a search gains over one training, and over restarts of it."""
    if gain is None or gain.verdict == "open":
        return "open"
    if gain.verdict != "better" or gain.within_margin:
        return "one training"
    by_luck = over is not None and _is_ruled_out(over)
    return "one training" if by_luck else "search"


def _is_ruled_out(one: BaselineComparison) -> bool:
    """Return whether it is established that a strategy is not better than the other one by more than the margin."""
    return one.verdict in ("worse", "equivalent") or one.within_margin


def _may_help(one: BaselineComparison | None, metric: Metric, *, established: bool) -> bool:
    """Return whether a strategy may be used in the place of one that has lost to the student alone.

    Args:
        one: The strategy minus the student alone.
        metric: The compared metric.
        established: Whether it has to be established that the strategy is better; otherwise its mean is enough.
    """
    if one is None or one.difference is None or _is_ruled_out(one):
        return False
    return one.verdict == "better" if established else not one.is_loss(metric)


def trials_of(one: StrategyFigures) -> int:
    """Return the largest number of trainings in a repeat of a strategy."""
    return max((repeat.trials for repeat in one.result.repeats), default=0)


def _candidate(one: StrategyFigures | None) -> ComparedStrategy | None:
    if one is None:
        return None
    chosen = tuple(repeat.chosen for repeat in one.result.repeats if repeat.test and repeat.chosen is not None)
    return ComparedStrategy(one.result.strategy, trials_of(one), chosen)


def _mean_score(values: dict[int, float], metric: Metric) -> float:
    return metric.score(sum(values.values()) / len(values)) if values else float("-inf")
