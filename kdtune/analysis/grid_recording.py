"""Recorded grids, from which searches are replayed and the sensitivity to the searched values is computed."""

from collections.abc import Sequence
from pathlib import Path

from kdtune.analysis.comparison import WantedCarbon, carbon_for
from kdtune.analysis.find_results import Places, find_results
from kdtune.analysis.study_commands import command_for
from kdtune.energy.carbon import Carbon
from kdtune.errors import ResultsError
from kdtune.execution.replay.recorded_trials import PointKey, RecordedRepeat, recorded_repeats
from kdtune.execution.replay.replay_executor import searched_keys
from kdtune.results.folder import StrategyFolder
from kdtune.specs.study import Study
from kdtune.tasks.loading import objective_of


class GridRecording:
    """The repeats of a study whose grid was recorded completely.

    Attributes:
        study: The study.
        folders: Folders of its strategies.
        carbon: Settings for CO2.
        metric: The metric that decides the study.
        grid: Keys of the points of the search space, in order.
        repeats: The repeats, with the points of the grid alone, even if other strategies trained further points.
        best: For each repeat, the point that the grid chooses, and ``best_score`` its score.
        elsewhere: For each repeat, the mean score of each point in the other repeats.
    """

    def __init__(self, study: Study, folders: Sequence[StrategyFolder], carbon: Carbon) -> None:
        """Read the recorded trials.

        Raises:
            ResultsError: No repeat has every point, or a file is damaged.
        """
        self.study, self.folders, self.carbon = study, folders, carbon
        self.metric = objective_of(study)
        if not study.search_space.is_finite:
            raise ResultsError(f"{study.name}: its search space has no 'step' or 'values', so it has no grid to replay")
        self.grid = searched_keys(study.search_space.points())
        every = recorded_repeats(study, folders)
        self.repeats = [
            RecordedRepeat(one.seed, {key: one.trials[key] for key in self.grid})
            for one in every
            if all(key in one.trials for key in self.grid) and one.best(self.grid)
        ]
        if not self.repeats:
            raise ResultsError(
                f"{folders[0].path.parent}: no repeat has every point of the search space recorded; "
                f"run '{command_for(folders[0], ['grid'])}' first"
            )
        self.elsewhere = [self._elsewhere(repeat) for repeat in self.repeats]
        self.best = [one.best(self.grid) for one in self.repeats]
        self.best_score = [self.score(one, key) for one, key in zip(self.repeats, self.best, strict=True)]

    def score(self, repeat: RecordedRepeat, key: PointKey) -> float:
        """Return the score of a point that has succeeded in a repeat."""
        last = repeat.trials[key].last
        assert last is not None, "a chosen trial has succeeded"
        return last.score

    def _elsewhere(self, repeat: RecordedRepeat) -> dict[PointKey, float]:
        """Return the mean score of each point in the other repeats in which it succeeded."""
        found = {}
        for key in self.grid:
            others = [other.trials[key].last for other in self.repeats if other is not repeat]
            scores = [last.score for last in others if last is not None]
            if scores:
                found[key] = sum(scores) / len(scores)
        return found


def read_grids(places: Places, carbon: WantedCarbon = None) -> list[GridRecording]:
    """Return the recorded grid of each study below the given places.

    Raises:
        ResultsError: A study has no completely recorded grid, or a file is damaged.
    """
    of_study: dict[Path, list[StrategyFolder]] = {}
    for folder in find_results(places):
        of_study.setdefault(folder.path.parent, []).append(folder)
    return [
        GridRecording(folders[0].read_study(), folders, carbon_for(folders[0], carbon)) for folders in of_study.values()
    ]
