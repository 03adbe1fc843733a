"""Kinds of steps that the trainings of strategies consist of, which are timed before a run."""

from collections.abc import Iterable
from fractions import Fraction

from kdtune.catalog.builtin import LOSSES, STRATEGIES
from kdtune.forecast.earlier_strategies import CompletedStrategy
from kdtune.forecast.strategy_estimate import WorkKind
from kdtune.planning.predecessors import predecessor
from kdtune.planning.resources import Resources
from kdtune.planning.trial_plan import first_recipe, make_strategies, strategies_of, uses_teacher
from kdtune.specs.study import Study
from kdtune.specs.synthetic_data import trial_images

#: Fields of a study, and fields of its training, on which the cost of an epoch depends.
_COST_FIELDS = {"task", "dataset", "data", "synthesis", "selection", "validation"}
_COST_FIELDS |= {"teacher", "student", "loss", "numerics", "teacher_logits"}
_COST_OF_TRAINING = {"batch_size", "optimizer", "augment"}


def kinds_of_epochs(study: Study, label: str) -> set[bool]:
    """Return whether the epochs of a strategy's trainings need the teacher; both where their phases differ in that."""
    has_phases = any(LOSSES.facts_of(name).get("has_phases") for name in strategies_of(study, label))
    return {True, False} if has_phases else {uses_teacher(study, label)}


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
    images: list[WorkKind] = ["synthesis"] if study.synthesis else []
    images += ["trial_images"] if trial_images(study) else []
    # After the steps, in which the packages that convert networks are imported.
    conversion: list[WorkKind] = ["conversion"] if any(predecessor(study, name) for name in labels) else []
    return [*sorted(kinds), *logits, *images, "evaluation", *conversion]


def trained_share(study: Study, label: str, epochs: int) -> Fraction:
    """Return the largest part of the epochs of all its trainings that a strategy trains; less than 1 with rungs.

    Args:
        study: The study.
        label: Label of the strategy.
        epochs: Epochs of a whole training.
    """
    strategy = make_strategies(study, label)[0]
    return Fraction(strategy.expected_epochs(epochs), strategy.expected_trials() * epochs)


def has_same_epochs(
    one: CompletedStrategy, study: Study, name: str, resources: Resources, *, with_teacher: bool
) -> bool:
    """Return whether an epoch of an earlier strategy should cost as much as one of a strategy of this study."""
    recipe, loss = first_recipe(study, name), study.loss
    plain = (None, frozenset({(loss.name, loss.digest)}))  # also that of releases which logged no recipes
    steps = recipe.kind_of_steps(with_teacher=with_teacher) if recipe else plain
    theirs_steps = {earlier.kind_of_steps(with_teacher=with_teacher) for earlier in one.recipes}
    ours, theirs = (
        (ran.model_dump(include=_COST_FIELDS), ran.training.model_dump(include=_COST_OF_TRAINING))
        for ran in (study, one.study)
    )
    return (
        ours == theirs
        and theirs_steps <= {steps}
        and (bool(one.recipes) or steps[0] is None)
        and step_kinds(one.study, one.strategy) == {step_kind(study, name, with_teacher=with_teacher)}
        and (one.cpus, one.gpus) == (resources.cpus, resources.gpus)
    )
