"""Trainings of a study at a point, resolved as plans resolve them."""

from kdtune.specs.search_space import Point
from kdtune.specs.study import Study
from kdtune.specs.suggestion import Suggestion
from kdtune.specs.trial_spec import Recipe, TrialSpec
from kdtune.training.resolution import resolved_recipe, resolved_trial


def recipe_of(study: Study, point: Point) -> Recipe:
    """How the student is trained at a point."""
    return resolved_recipe(study, Suggestion.from_point(point))


def spec_of(study: Study, point: Point, seed: int) -> TrialSpec:
    """Everything that the training at a point depends on."""
    return resolved_trial(study, Suggestion.from_point(point), seed)


def identity_of(study: Study, point: Point, seed: int) -> str:
    """The identity of the trial at a point."""
    return spec_of(study, point, seed).identity


def points_of(suggestions: list[Suggestion]) -> list[Point]:
    """Suggestions as flat tables."""
    return [suggestion.as_point() for suggestion in suggestions]
