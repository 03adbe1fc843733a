"""What strategies that were begun earlier demand of those that join them, or go on: the same data, the same teacher."""

from collections.abc import Iterable

from kdtune.errors import UsageError
from kdtune.planning.trial_plan import uses_teacher
from kdtune.results.folder import StrategyFolder
from kdtune.storage.paths import DataDir


def refuse_other_data(kept: Iterable[StrategyFolder], fingerprint: str, data: DataDir) -> None:
    """Make sure that trials on two different subsets of a data set are never mixed.

    Args:
        kept: The strategies that were begun.
        fingerprint: Of the data that there are now.
        data: The folder with them.

    Raises:
        UsageError: A strategy was run on others.
    """
    for folder in kept:
        if folder.resolved().get("data", "") != fingerprint:
            raise UsageError(
                f"{folder.path}: was run on other files of {folder.read_study().dataset} than {data} holds; name the "
                "folder with those by --data-dir DIR, or write elsewhere with --out DIR"
            )


#: Noted of a strategy whose epochs end with a batch that is one image larger than the others.
FOLDED = {"last_batch": "folded"}


def refuse_other_batches(kept: Iterable[StrategyFolder]) -> None:
    """Make sure that trials which take the last image of an epoch differently are never mixed.

    Args:
        kept: The strategies that were begun, of a study in which a single image is left over.

    Raises:
        UsageError: A strategy was begun by a release that trained on that image by itself.
    """
    for folder in kept:
        if not FOLDED.items() <= folder.resolved().items():
            raise UsageError(
                f"{folder.path}: was begun by an earlier kdtune, which trained on the single image that an epoch has "
                "left over by itself; it now joins the batch before it. Write elsewhere with --out DIR, or put the "
                "earlier results aside with --fresh"
            )


def refuse_another_teacher(kept: Iterable[StrategyFolder], key: str) -> None:
    """Make sure that trials under two teachers are never mixed.

    Args:
        kept: The strategies that were begun; those without a teacher do not matter.
        key: Of the teacher that there would be now. Of one that was given it says where it was measured too, so those
            are not for here.

    Raises:
        UsageError: A strategy was run under another one.
    """
    for folder in kept:
        begun = folder.resolved().get("teacher", key)
        if begun != key and uses_teacher(folder.read_study(), folder.path.name):
            raise UsageError(
                f"{folder.path}: was run under the teacher {begun}, and here it would be {key}, since another "
                "kdtune, torch, number of cores or kind of device trains another one. Go on with those that its "
                "study.toml names, write elsewhere with --out DIR, or put it aside with --fresh"
            )
