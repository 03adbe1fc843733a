"""Studies and search spaces: data only, validated as a whole before any energy is spent."""

from kdtune.specs.file_search import SEARCH_SPACES, STUDIES, available, find
from kdtune.specs.loading import load_search_space, load_study
from kdtune.specs.search_space import Dimension, Point, SearchSpace
from kdtune.specs.study import Study
from kdtune.specs.training import Training

__all__ = [
    "SEARCH_SPACES",
    "STUDIES",
    "Dimension",
    "Point",
    "SearchSpace",
    "Study",
    "Training",
    "available",
    "find",
    "load_search_space",
    "load_study",
]
