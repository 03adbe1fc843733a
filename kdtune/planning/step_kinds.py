"""Kinds of steps that the trainings of strategies consist of, which are timed before a run."""

from collections.abc import Iterable

from kdtune.catalog.builtin import STRATEGIES
from kdtune.forecast.strategy_estimate import WorkKind
from kdtune.planning.predecessors import predecessor
from kdtune.planning.trial_plan import kinds_of_epochs
from kdtune.specs.study import Study


def step_kind(study: Study, label: str, *, with_teacher: bool) -> WorkKind:
    """Return the kind of a strategy's steps with a teacher, or of those without one."""
    own: WorkKind | None = STRATEGIES.facts_of(study.labelled(label)[0]).get("steps")
    return own or ("distilling" if with_teacher else "labels")


def step_kinds(study: Study, label: str) -> set[WorkKind]:
    """Return all kinds of a strategy's steps."""
    return {step_kind(study, label, with_teacher=needs) for needs in kinds_of_epochs(study, label)}


def student_work(study: Study, strategies: Iterable[str]) -> list[WorkKind]:
    """Return the kinds of work that the trainings of some strategies consist of, and of those that run before them."""
    labels = [one for name in strategies for one in (name, predecessor(study, name)) if one is not None]
    kinds = {kind for name in labels for kind in step_kinds(study, name)}
    logits: list[WorkKind] = ["teacher_logits"] if "distilling" in kinds and study.teacher_logits != "live" else []
    return [*sorted(kinds), *logits, "evaluation"]
