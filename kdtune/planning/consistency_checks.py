"""Checks that strategies started at different times, or on different machines, use the same data and computations."""

from collections.abc import Iterable, Mapping, Sequence

from kdtune.errors import UsageError
from kdtune.planning.trial_plan import uses_teacher
from kdtune.results.folder import StrategyFolder
from kdtune.specs.study import Study
from kdtune.storage.paths import DataDir


def refuse_other_data(kept: Iterable[StrategyFolder], fingerprint: str, data: DataDir) -> None:
    """Refuse to mix trials on different files of a data set.

    Args:
        kept: Strategies that were started earlier.
        fingerprint: Fingerprint of the present data.
        data: Folder with the present data.

    Raises:
        UsageError: A strategy ran on other files.
    """
    for folder in kept:
        if folder.resolved().get("data", "") != fingerprint:
            raise UsageError(
                f"{folder.path}: ran on other files of {folder.read_study().dataset} than {data} holds; name the "
                "folder with those by --data-dir DIR, or write elsewhere with 'kdtune study --out DIR'"
            )


#: Recorded for a strategy whose epochs end with a batch that is one image larger than the others.
FOLDED = {"last_batch": "folded"}


def refuse_other_batches(kept: Iterable[StrategyFolder]) -> None:
    """Refuse to mix trials that treat the last image of an epoch differently.

    Args:
        kept: Strategies that were started earlier, of a study in which a single image is left over.

    Raises:
        UsageError: A strategy was started by a release that trained on that image alone.
    """
    for folder in kept:
        if not FOLDED.items() <= folder.resolved().items():
            raise UsageError(
                f"{folder.path}: was begun by an earlier kdtune, which trained on the single image that an epoch has "
                "left over by itself; it now joins the batch before it. Write elsewhere with 'kdtune study --out DIR', "
                "or put the earlier results aside with 'kdtune study --fresh'"
            )


def refuse_captured_steps(kept: Sequence[StrategyFolder], study: Study) -> None:
    """Refuse to leave images on the host if earlier strategies captured their steps, which need resident images.

    Args:
        kept: Strategies that were started earlier.
        study: The study with the settings that they resolved.

    Raises:
        UsageError: The study's images are not resident, and its steps are captured.
    """
    if kept and study.numerics.captures_steps and not study.data.resident:
        raise UsageError(
            f"{kept[0].path}: its steps were captured as graphs, which cannot read images from the host; leave "
            "data.resident = true, or write elsewhere with 'kdtune study --out DIR'"
        )


#: What decides the last bits of a training, by its key among the recorded versions.
_DECIDES_BITS = {"kdtune": "kdtune", "torch": "torch", "device": "the device", "cpu": "the CPU"}


def other_numerics(kept: Iterable[StrategyFolder], versions: Mapping[str, str]) -> list[str]:
    """Return a remark for each strategy whose earlier trials may differ in their last bits from trials that run here.

    Args:
        kept: Strategies that were started earlier.
        versions: Versions and hardware here; see :class:`kdtune.planning.inspection.Inspection`. What an earlier
            release did not record is not compared.
    """
    remarks = []
    for folder in kept:
        there = folder.versions() if "versions" in folder.resolved() else {}
        changes = [
            f"{words} was {there[key]} and is {versions[key]}"
            for key, words in _DECIDES_BITS.items()
            if key in there and key in versions and there[key] != versions[key]
        ]
        if changes:
            remarks.append(
                f"{folder.path}: was begun elsewhere or under other versions, so trials from here on are not "
                f"bit-identical to those of an undisturbed run: {', '.join(changes)}"
            )
    return remarks


def refuse_another_teacher(kept: Iterable[StrategyFolder], key: str) -> None:
    """Refuse to mix trials that use different teachers.

    Args:
        kept: Strategies that were started earlier; those without a teacher are ignored.
        key: Key of the present teacher. Do not call this function for a given teacher, whose key depends on the place
            where it was evaluated.

    Raises:
        UsageError: A strategy was run with another teacher.
    """
    for folder in kept:
        begun = folder.resolved().get("teacher", key)
        if begun != key and uses_teacher(folder.read_study(), folder.path.name):
            raise UsageError(
                f"{folder.path}: was run under the teacher {begun}, and here it would be {key}, since another "
                "kdtune, torch, number of cores or kind of device trains another one. Go on with those that its "
                "study.toml names, write elsewhere with 'kdtune study --out DIR', or put it aside with "
                "'kdtune study --fresh'"
            )
