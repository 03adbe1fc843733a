"""The data and networks of a strategy's results, for running its models again."""

from pathlib import Path
from typing import TYPE_CHECKING

from kdtune.data.sources import available_images
from kdtune.errors import UsageError
from kdtune.planning.resources import Resources
from kdtune.results.folder import StrategyFolder
from kdtune.results.frozen_study import ResolvedSettings
from kdtune.specs.study import Study
from kdtune.storage.paths import noted_data_dir

if TYPE_CHECKING:
    from kdtune.artifacts.training_context import TrainingContext


def context_of(
    folder: StrategyFolder,
    study: Study,
    resolved: ResolvedSettings,
    resources: Resources,
    data_dir: str | Path | None,
    *,
    download: bool,
) -> "TrainingContext":
    """Return the study's data and networks.

    Args:
        folder: Folder of the strategy.
        study: The study as it ran, with the present paths of its files.
        resolved: Resolved settings of the run.
        resources: The cores, and the GPU if the networks are to run on one.
        data_dir: Folder of the data sets; by default the one that the study used.
        download: Download the data set if it is missing or damaged. Otherwise no connection is made.

    Raises:
        DataError: The data set is missing, incomplete or damaged.
        UsageError: The study ran on other data.
    """
    from kdtune.artifacts.device_choice import pick_device
    from kdtune.artifacts.training_context import TrainingContext

    place = noted_data_dir(data_dir, folder.study.noted_paths().data_dir, folder.study.run_toml)
    available_images(study, place, download=download)
    context = TrainingContext(study, pick_device(resources.gpus), resources.threads, str(place.path))
    if context.arrays.fingerprint != resolved.data:
        raise UsageError(
            f"{folder.path}: the study ran on other files of {study.dataset} than those in {place}; name the folder of "
            "the original files with --data-dir DIR"
        )
    return context
