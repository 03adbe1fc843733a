"""Recipes and trials of a study at a point, resolved like in plans."""

from kdtune.specs.search_space import Point
from kdtune.specs.study import Study
from kdtune.specs.suggestion import Suggestion
from kdtune.specs.trial_spec import Recipe, TrialSpec
from kdtune.training.resolution import resolved_recipe, resolved_trial


def recipe_of(study: Study, point: Point) -> Recipe:
    """Return the recipe of the student's training at a point."""
    return resolved_recipe(study, Suggestion.from_point(point))


def spec_of(study: Study, point: Point, seed: int) -> TrialSpec:
    """Return everything that the training at a point depends on."""
    return resolved_trial(study, Suggestion.from_point(point), seed)


def identity_of(study: Study, point: Point, seed: int) -> str:
    """Return the identity of the trial at a point."""
    return spec_of(study, point, seed).identity


def points_of(suggestions: list[Suggestion]) -> list[Point]:
    """Return suggestions as flat tables."""
    return [suggestion.as_point() for suggestion in suggestions]
